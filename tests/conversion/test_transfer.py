"""Transfer: owners, lengths, clocks; with a tiny random bundle, and on parallel recordings with the shipped one."""

import dataclasses

import numpy as np
import pytest
from support.tiny_bundles import tiny_converter, tone, write_bundle

from evc_jax.audio.chunking import split_windows
from evc_jax.conversion import transfer
from evc_jax.conversion.aspects import TransferAspects, all_aspects
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import AudioError, BundleError, ConfigError
from evc_jax.evaluation.metrics import f0_correlation, timing_distance_s

ALL = [str(aspects) for aspects in all_aspects()]


@pytest.fixture(scope="module")
def converter():
    return tiny_converter()


@pytest.fixture(scope="module")
def pair(converter):
    return converter.extract(tone(1.0), 16000), converter.extract(tone(1.4, f0_hz=210, seed=1), 16000)


def seen(converter, source, target, aspects, monkeypatch):
    """What the networks are given."""
    calls = {"pitch": []}

    def convert(inputs):
        calls["inputs"] = inputs
        return inputs.mel

    def move_pitch(rhythm_mel, voiced, f0):
        calls["pitch"].append(rhythm_mel)
        return f0

    monkeypatch.setattr(converter.engine, "convert", convert)
    monkeypatch.setattr(converter.engine, "move_pitch", move_pitch)
    result = converter.transfer_features(source, target, TransferAspects.parse(aspects), ConversionOptions())
    return calls["inputs"], calls["pitch"], result


def test_aspects():
    assert ALL == ["R", "F", "U", "RF", "RU", "FU", "RFU"]
    assert str(TransferAspects.parse("ufr")) == "RFU"
    for letters in ("", "X", "RR", "R F", "rhythm"):
        with pytest.raises(ConfigError, match="give one or more of R .rhythm., F .pitch., U .timbre., each once"):
            TransferAspects.parse(letters)


@pytest.mark.parametrize("aspects", ALL)
def test_owners(converter, pair, aspects, monkeypatch):
    source, target = pair
    inputs, through_converter, result = seen(converter, source, target, aspects, monkeypatch)
    clock = target if "R" in aspects else source
    assert len(result.audio) == len(clock.audio) and len(result.mel) == len(clock.mel)
    np.testing.assert_array_equal(inputs.rhythm_mel, split_windows(clock.mel))
    voice = (target if "U" in aspects else source).embedding
    np.testing.assert_array_equal(inputs.embedding, np.repeat(voice[None], len(inputs), 0))
    # The F0 converter works exactly where pitch and rhythm have different owners, and receives the rhythm's.
    assert len(through_converter) == (("F" in aspects) != ("R" in aspects))
    for rhythm_mel in through_converter:
        np.testing.assert_array_equal(rhythm_mel, split_windows(clock.mel))


@pytest.mark.parametrize("aspects", ALL)
def test_a_recording_transferred_onto_itself_is_rebuilt(converter, pair, aspects, monkeypatch):
    source, _ = pair
    inputs, _, _ = seen(converter, source, dataclasses.replace(source), aspects, monkeypatch)
    np.testing.assert_allclose(inputs.mel, split_windows(source.mel), atol=0.02)


def test_the_api_takes_any_rate_and_length(converter):
    source, target = tone(0.3, 8000), tone(3.2, 44100, f0_hz=200)
    for aspects, length in (("R", 3.2), ("FU", 0.3)):
        result = converter.transfer(source, 8000, target, 44100, aspects)
        assert len(result.audio) == pytest.approx(16000 * length, abs=1) and np.isfinite(result.audio).all()
        assert (str(result.aspects), result.sample_rate_hz) == (aspects, 16000)
        assert len(result.f0_hz) == len(result.mel)


def test_results_are_reproducible(converter, pair):
    results = [
        converter.transfer_features(*pair, TransferAspects.parse("RF"), ConversionOptions()).audio for _ in range(2)
    ]
    np.testing.assert_array_equal(*results)


def test_impossible_transfers(converter, tmp_path):
    poor = Converter.load(write_bundle(tmp_path / "b", names=("speechsplit",)))
    with pytest.raises(BundleError, match="has no f0_converter network"):
        poor.transfer(tone(0.5), 16000, tone(0.6), 16000, "F")
    poor.check_transfer(TransferAspects.parse("RFU"), ConversionOptions())
    with pytest.raises(ConfigError, match="The aspects are 'Q'"):
        converter.transfer(tone(0.5), 16000, tone(0.6), 16000, "Q")
    with pytest.raises(AudioError, match="silent"):
        converter.transfer(tone(0.5), 16000, np.zeros(16000), 16000)


def test_aspects_follow_their_owners_on_parallel_recordings(data_dir):
    """Neutral and angry, by two actors of the test split, with the shipped bundle."""
    from evc_jax.audio import io as audio_io

    converter = Converter.load()
    names = ("Actor_11/03-01-01-01-01-01-11", "Actor_08/03-01-05-01-01-01-08")
    source, target = (
        converter.extract(audio_io.load(data_dir / "ravdess" / f"{name}.flac", 16000), 16000) for name in names
    )

    def made(aspects):
        result = converter.transfer_features(source, target, TransferAspects.parse(aspects), ConversionOptions())
        return converter.extract(result.audio, 16000)

    def timing(x):
        return timing_distance_s(target.mel, x.mel, converter.bundle.audio)

    def melody(x):
        return f0_correlation(target.mel, target.f0_hz, x.mel, x.f0_hz)

    everything = made("RFU")
    assert timing(everything) < 0.5 * timing(source)
    assert melody(everything) > melody(source)
    assert everything.embedding @ target.embedding > source.embedding @ target.embedding
    assert timing(made("FU")) > timing(everything)


def test_a_transfer_has_a_limit(converter, pair, monkeypatch):
    monkeypatch.setattr(transfer, "MAX_TRANSFER_S", 1.2)
    with pytest.raises(AudioError, match="The target lasts 1 s; a transfer takes up to 1 s"):
        converter.transfer_features(*pair, TransferAspects.parse("R"), ConversionOptions())
