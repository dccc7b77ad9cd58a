"""The extraction path: lengths, ranges, level, and agreement with the golden features."""

import numpy as np
import pytest
from support import golden_features
from support.golden_features import voice

from evc_jax.audio import loudness
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import highpass
from evc_jax.errors import AudioError
from evc_jax.features import extract as extraction

CONFIG = AudioConfig()


def flat_embedding(samples):
    assert samples.dtype == np.float32
    return np.full(256, 1 / 16, np.float32)


def test_without_levelling_all_is_golden(golden_dir, data_dir):
    for golden in golden_features.read(golden_dir, data_dir):
        found = extraction.extract(golden.samples, 16000, AudioConfig(level_dbfs=None))
        heard = golden.mel > 0.05
        np.testing.assert_allclose(found.mel[heard], np.clip(golden.mel, 0, 1)[heard], atol=1e-3)
        assert found.embedding @ golden.embedding >= 0.999
        assert found.level_gain == 1


@pytest.mark.parametrize(
    "rate_hz, channels, seconds", [(16000, 1, 0.1), (8000, 1, 0.4), (44100, 2, 1.234), (48000, 6, 2.0)]
)
def test_length_contract(rate_hz, channels, seconds):
    samples = np.stack([voice(130, seconds, rate_hz)] * channels, axis=1)
    found = extraction.extract(samples, rate_hz, CONFIG, flat_embedding)
    frames = len(found.audio) // 256 + 1
    assert found.mel.shape == (frames, 80) and found.f0_hz.shape == (frames,) and found.embedding.shape == (256,)
    assert abs(len(found.audio) - seconds * 16000) <= 2
    assert found.mel.min() >= 0 and found.mel.max() <= 1
    assert {array.dtype for array in (found.audio, found.mel, found.f0_hz, found.embedding)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("gain", [1e-3, 0.1, 2.0])
def test_any_level_gives_the_same_spectrogram_and_pitch(gain):
    samples = voice(130, 1.0) * np.linspace(0.2, 1, 16000, dtype=np.float32)
    expected = extraction.extract(samples, 16000, CONFIG)
    found = extraction.extract(samples * np.float32(gain), 16000, CONFIG)
    assert found.level_gain == pytest.approx(expected.level_gain / gain, rel=1e-4)
    np.testing.assert_allclose(found.audio, expected.audio, atol=1e-4)
    np.testing.assert_allclose(found.mel, expected.mel, atol=2e-3)
    np.testing.assert_allclose(found.f0_hz, expected.f0_hz, rtol=1e-2)


def test_levelling_leaves_the_embedding_golden(golden_dir, data_dir):
    for golden in golden_features.read(golden_dir, data_dir):
        assert extraction.extract(golden.samples, 16000, AudioConfig()).embedding @ golden.embedding >= 0.999


def test_level_is_reached_and_undone():
    samples = voice(130, 1.0)
    found = extraction.extract(samples, 16000, CONFIG, flat_embedding)
    level_dbfs = loudness.active_level_dbfs(highpass(found.audio, CONFIG), CONFIG)
    assert level_dbfs == pytest.approx(CONFIG.level_dbfs, abs=0.01)
    np.testing.assert_allclose(found.audio / found.level_gain, samples, rtol=1e-5, atol=1e-7)


def test_levelled_peaks_stay_within_full_scale():
    samples = voice(130, 1.0) * np.float32(0.01)
    samples[8000] = 0.9
    assert np.abs(extraction.extract(samples, 16000, CONFIG, flat_embedding).audio).max() <= 1


def test_a_seed_reproduces_everything():
    samples = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    first, second = (extraction.extract(samples, 16000, CONFIG, seed=5) for _ in range(2))
    for name in ("audio", "mel", "f0_hz", "embedding"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_embedders_hear_16_khz():
    heard = []

    def listen(samples):
        heard.append(len(samples))
        return flat_embedding(samples)

    config = AudioConfig(sample_rate_hz=24000, hop_samples=300, window_samples=1200)
    extraction.extract(voice(130, 1.0, 24000), 24000, config, listen)
    assert heard == [16000]


@pytest.mark.parametrize("level_dbfs", [None, -26.0])
def test_silence_is_refused(level_dbfs):
    with pytest.raises(AudioError, match="silent"):
        extraction.extract(np.zeros(16000), 16000, AudioConfig(level_dbfs=level_dbfs), flat_embedding)
