"""Conversions that are rendered from the source: the recording itself where nothing is asked, by every way in."""

import numpy as np
import pytest
import soundfile
from support.tiny_bundles import EMOTIONS, description, tiny_converter, tone
from support.vowels import sung_vowel

from evc_jax.audio import pauses
from evc_jax.audio.io import AudioReader
from evc_jax.conversion import changes, long_recordings, recording_stats
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.long_recordings import convert_file, convert_recording
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import BundleError
from evc_jax.features.register import Register
from evc_jax.pretrained import bundle as bundles

RATE_HZ = 16000
SOURCE = ConversionOptions(rendering="source")


@pytest.fixture(scope="module")
def converter():
    return tiny_converter()


@pytest.fixture(scope="module")
def features(converter):
    return converter.extract(sung_vowel(150.0, seconds=1.2), RATE_HZ)


def bundle_with(**entries):
    """A bundle that has no networks in memory, and no files."""
    return bundles.from_description({**description(), "format": bundles.FORMAT, **entries}, "nowhere")


def pcm(seconds=1.5):
    """16-bit samples up to full scale, with a pause."""
    sound = np.concatenate([tone(seconds / 2), np.zeros(12000), tone(seconds / 2, f0_hz=210.0)])
    sound = np.round(sound / np.abs(sound).max() * 32768)
    return np.clip(sound, -32768, 32767).astype(np.int16)


def steps(audio):
    return np.rint(audio.astype(np.float64) * 32768).astype(int)


def semitones(conversion):
    means = [np.log2(f0_hz[f0_hz > 0]).mean() for f0_hz in (conversion.f0_hz, conversion.source.f0_hz)]
    return 12 * (means[0] - means[1])


def test_nothing_asked_is_the_recording_itself_and_reads_no_network():
    converter = Converter(bundle_with(default_rendering="source"))
    result = converter.convert(pcm(), RATE_HZ)
    np.testing.assert_array_equal(steps(result.audio), pcm())
    np.testing.assert_array_equal(result.mel, result.source.mel)
    shifted = converter.convert(pcm(), RATE_HZ, pitch_shift=3, rate=1.25, pitch_range=1.1, flatten=0.1)
    assert len(shifted.audio) == round(len(pcm()) / 1.25) and not converter.bundle.networks


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_comes_back_sample_for_sample(converter, tmp_path, suffix):
    soundfile.write(tmp_path / f"in.{suffix}", pcm(), RATE_HZ)
    convert_file(converter, tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}", SOURCE)
    np.testing.assert_array_equal(soundfile.read(tmp_path / f"out.{suffix}", dtype="int16")[0], pcm())


@pytest.mark.parametrize("make", [lambda: np.concatenate([pcm()] * 5), lambda: np.int16(9000 * tone(15.0))])
def test_a_long_recording_comes_back_sample_for_sample(converter, monkeypatch, make):
    """Cut in pauses, and within speech that repeats itself."""
    for module, name, value in (
        (long_recordings, "WHOLE_S", 6.0),
        (recording_stats, "EXCERPT_PIECE_S", 0.5),
        (pauses, "SEGMENT_S", (1.0, 3.0)),
    ):
        monkeypatch.setattr(module, name, value)
    parts = list(long_recordings.convert_segments(converter, AudioReader(make(), RATE_HZ), SOURCE))
    assert len(parts) >= 3
    np.testing.assert_array_equal(steps(np.concatenate([part.audio for part in parts])), make())
    faster = ConversionOptions(rendering="source", rate=1.25, pitch_shift=2)
    converted = convert_recording(converter, AudioReader(make(), RATE_HZ), faster)
    assert len(converted.audio) == round(len(make()) / 1.25) and abs(semitones(converted) - 2) < 0.3


def test_the_bundle_chooses_and_a_vocoder_means_the_decoder():
    bundle = bundle_with(default_rendering="source")
    assert [ConversionOptions(vocoder=name).rendering_of(bundle) for name in (None, "waveglow")] == [
        "source",
        "decoder",
    ]
    assert ConversionOptions().rendering_of(bundle_with()) == "decoder"
    with pytest.raises(BundleError, match="default_rendering is 'tape'"):
        bundle_with(default_rendering="tape")
    with pytest.raises(BundleError, match="its register holds no weights"):
        assert bundle_with(register=[1]).register


@pytest.mark.parametrize("options", [{}, {"pitch_shift": 4}, {"rate": 0.8}])
def test_what_the_decoder_makes_of_an_emotion_filters_the_recording(converter, features, monkeypatch, options):
    """A decoder that makes the emotional mel 4 dB louder, and else returns what it is given."""
    monkeypatch.setattr(converter.engine, "convert", lambda windows: windows.mel + 0.04 * windows.strength[..., None])
    plain, moved = (
        converter.convert_features(features, ConversionOptions(rendering="source", emotion=emotion, **options))
        for emotion in (None, EMOTIONS[1])
    )
    expected_db = changes.LARGEST_FILTER_DB * np.tanh(4 / changes.LARGEST_FILTER_DB)
    assert 20 * np.log10(moved.audio.std() / plain.audio.std()) == pytest.approx(expected_db, abs=0.2)
    weak = converter.convert_features(features, ConversionOptions(rendering="source", emotion=EMOTIONS[1], strength=0))
    np.testing.assert_array_equal(weak.audio, features.audio / np.float32(features.level_gain))


def test_a_change_of_the_spectrum_is_smooth_and_bounded(converter, features):
    for options in ({"emotion": "sad", "strength": 3}, {"voice": "sampled:male"}):
        result = converter.convert_features(features, ConversionOptions(rendering="source", **options))
        assert np.isfinite(result.audio).all()
        size = min(len(result.mel), len(features.mel))
        change_db = 100 * np.abs(result.mel[:size] - features.mel[:size]).mean()
        assert 1e-3 < change_db < changes.LARGEST_FILTER_DB


def test_another_voice_brings_its_register(features, monkeypatch):
    """A register that reads how high a voice speaks in the first value of its embedding."""
    weights = np.zeros((257, 2))
    weights[0, 0], weights[256] = 1.0, (np.log(150), np.log(0.25))
    converter = Converter(bundle_with(register=Register(weights).to_mapping()))
    monkeypatch.setattr(converter.engine, "convert", lambda windows: windows.mel)
    monkeypatch.setattr(type(converter.engine), "f0_classes", 257)
    other = features.embedding.copy()
    other[0] += 0.4
    other /= np.linalg.norm(other)
    wanted = 12 / np.log(2) * other[0]  # the vowel is sung at 150 Hz, whatever its embedding says
    result = converter.convert_features(features, ConversionOptions(rendering="source", voice=other))
    assert wanted > 3 and semitones(result) == pytest.approx(wanted, abs=0.3)
    half = converter.convert_features(features, ConversionOptions(rendering="source", voice=other, timbre=0.5))
    assert 0.3 * wanted < semitones(half) < 0.7 * wanted
    same = converter.convert_features(features, ConversionOptions(rendering="source", voice=features.embedding))
    np.testing.assert_allclose(same.audio, features.audio / np.float32(features.level_gain), atol=1e-6)


@pytest.mark.parametrize("aspects", ["R", "F", "RF"])
def test_rhythm_and_pitch_of_another_recording(converter, aspects):
    """A glide down and a glide up, of other lengths."""
    times = np.arange(24000) / RATE_HZ
    voice = (
        np.cumsum(160 * np.exp2(-0.4 * times / 1.5)) / RATE_HZ,
        np.cumsum(110 * np.exp2(0.6 * times / 1.5)) / RATE_HZ,
    )
    sounds = [0.1 * sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 15)) for phase in voice]
    source, target = (sounds[0][:20000], sounds[1])
    result = converter.transfer(source, RATE_HZ, target, RATE_HZ, aspects, rendering="source")
    assert len(result.audio) == len(target if "R" in aspects else source)
    assert len(result.mel) == len(result.audio) // 256 + 1
    f0_hz = result.f0_hz[result.f0_hz > 0]
    rises = np.log2(f0_hz[-5:].mean() / f0_hz[:5].mean()) > 0
    assert rises == ("F" in aspects)
    assert abs(12 * np.log2(np.exp(np.log(f0_hz).mean()) / 140)) < 1  # the register is the source's


@pytest.mark.parametrize("aspects", ["R", "F", "RF"])
def test_a_recording_transferred_onto_itself_stays(converter, features, aspects):
    sound = features.audio
    result = converter.transfer(sound, RATE_HZ, sound.copy(), RATE_HZ, aspects, rendering="source")
    np.testing.assert_allclose(result.audio, sound, atol=1e-5)


def test_a_transfer_of_timbre_uses_the_decoder_and_both_registers(converter, features):
    target = converter.extract(sung_vowel(230.0, "o"), RATE_HZ)
    sounds = [each.audio / np.float32(each.level_gain) for each in (features, target)]
    result = converter.transfer(sounds[0], RATE_HZ, sounds[1], RATE_HZ, "U", rendering="source")
    assert semitones(result) == pytest.approx(12 * np.log2(230 / 150), abs=0.5)
    np.testing.assert_array_equal(result.embedding, result.target.embedding)
