"""Hearing a recording block by block finds what `features.extract` finds in the whole of it."""

import numpy as np
import pytest
from support.tiny_bundles import tone

from evc_jax.audio import io as audio_io
from evc_jax.audio.config import AudioConfig
from evc_jax.conversion.pitch_stream import _percentile
from evc_jax.conversion.sources import BlockSource
from evc_jax.conversion.survey import PASSES, levelled, survey
from evc_jax.errors import AudioError
from evc_jax.features import extract as extraction
from evc_jax.features import speaker
from evc_jax.features.f0_codes import log_f0_statistics

CONFIG = AudioConfig()


@pytest.fixture(scope="module")
def speech(data_dir):
    """Most of a minute of several speakers with pauses, some of them digital silence."""
    paths = sorted((data_dir / "librispeech").rglob("*.flac"))[::30][:5]
    parts = [np.append(audio_io.load(path, 16000)[:144000], np.zeros(16000, np.float32)) for path in paths]
    return np.concatenate(parts) * np.float32(0.3)


@pytest.fixture(scope="module")
def whole(speech):
    return extraction.extract(speech, 16000, CONFIG)


def test_all_is_that_of_the_whole_recording(speech, whole):
    source = BlockSource(speech, 16000)
    counted = []
    with survey(source, CONFIG, on_progress=counted.append) as heard:
        assert heard.samples == len(speech) and heard.frames == len(whole.mel)
        assert sum(counted) == PASSES * len(speech)
        assert heard.level_gain == pytest.approx(whole.level_gain, rel=1e-6)
        assert heard.embedding @ whole.embedding > 0.99999
        f0_hz = np.concatenate(list(heard.f0_hz()))
        assert np.mean((f0_hz > 0) != (whole.f0_hz > 0)) < 0.002
        both = (f0_hz > 0) & (whole.f0_hz > 0)
        assert np.mean(np.abs(f0_hz[both] / whole.f0_hz[both] - 1) > 0.001) < 0.002
        expected = log_f0_statistics(whole.f0_hz)
        assert heard.statistics.mean == pytest.approx(expected.mean, abs=1e-3)
        assert heard.statistics.std == pytest.approx(expected.std, abs=1e-3)
        assert len(list(heard.pauses())) == 5
    mel = np.concatenate(list(levelled(source, whole.level_gain, CONFIG)))
    np.testing.assert_allclose(mel, whole.mel, atol=1e-5)


@pytest.mark.parametrize("seconds", [0.1, 0.5, 3.0])
def test_short_recordings_too(seconds):
    samples = tone(seconds, 44100)
    expected = extraction.extract(samples, 44100, CONFIG)
    source = BlockSource(samples, 44100)
    with survey(source, CONFIG) as heard:
        assert heard.level_gain == pytest.approx(expected.level_gain, rel=1e-6)
        assert heard.embedding @ expected.embedding > 0.99999
        np.testing.assert_allclose(np.concatenate(list(heard.f0_hz())), expected.f0_hz, rtol=1e-3)
    mel = np.concatenate(list(levelled(source, heard.level_gain, CONFIG)))
    np.testing.assert_allclose(mel, expected.mel, atol=1e-5)


def test_other_settings():
    config = AudioConfig(sample_rate_hz=24000, hop_samples=300, window_samples=1200, level_dbfs=None)
    samples = tone(2, 24000)
    expected = extraction.extract(samples, 24000, config)
    with survey(BlockSource(samples, 24000), config) as heard:
        assert heard.level_gain == 1
        assert heard.embedding @ expected.embedding > 0.9999
        np.testing.assert_allclose(np.concatenate(list(heard.f0_hz())), expected.f0_hz, rtol=1e-3)


def test_a_recording_without_speech_is_embedded_whole():
    rumble = (0.1 * np.sin(2 * np.pi * 35 * np.arange(40000) / 16000)).astype(np.float32)
    assert len(speaker.trim_silences(rumble)) == 0
    expected = extraction.extract(rumble, 16000, CONFIG).embedding
    with survey(BlockSource(rumble, 16000), CONFIG) as heard:
        assert heard.embedding @ expected > 0.9999


def test_nobody_is_embedded_unasked():
    with survey(BlockSource(tone(1), 16000), CONFIG, embed=False) as heard:
        assert heard.embedding is None


def test_silence_is_refused():
    with pytest.raises(AudioError, match="silent"):
        survey(BlockSource(np.zeros(16000, np.float32), 16000), CONFIG)


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0], [1.0, 1.0, 2.0, 7.0, 7.0, 9.0]])
def test_percentiles_of_counts(values):
    counts = {value: values.count(value) for value in values}
    for fraction in (0.25, 0.5, 0.75):
        assert _percentile(counts, fraction) == pytest.approx(np.percentile(values, 100 * fraction))
