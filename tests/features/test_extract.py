"""The extraction path: lengths, ranges, level, and agreement with the golden features."""

import subprocess
import sys

import numpy as np
import pytest
from support import golden_features
from support.golden_features import voice

from evc_jax.audio import io as audio_io
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
        audible = golden.mel > 0.05
        np.testing.assert_allclose(found.mel[audible], np.clip(golden.mel, 0, 1)[audible], atol=1e-3)
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


def assert_same_features(found, expected, mel_difference=0.01):
    assert found.level_gain == pytest.approx(expected.level_gain, rel=0.01)
    assert np.abs(found.mel - expected.mel).mean() < mel_difference
    assert np.mean((found.f0_hz > 0) != (expected.f0_hz > 0)) < 0.02
    assert found.embedding @ expected.embedding > 0.999
    assert np.abs(found.audio).max() <= 1


def speech(seconds=2.0):
    """A voice that comes and goes over a faint hiss, peak 0.02."""
    times_s = np.arange(int(seconds * 16000)) / 16000
    hiss = 1e-3 * np.random.default_rng(0).standard_normal(len(times_s))
    envelope = np.clip(np.sin(2 * np.pi * 2 * times_s), 0, 1)
    return (0.07 * (voice(130, seconds) * envelope + hiss)).astype(np.float32)


@pytest.mark.parametrize("places, width", [([12000], 1), ([12000], 12), ([0, 9000, 20000, 31999], 1)])
@pytest.mark.parametrize("height", [1.0, -0.7])
def test_clicks_change_nothing(places, width, height):
    clicked = speech()
    for place in places:
        clicked[place : place + width] = height
    expected = extraction.extract(speech(), 16000, CONFIG)
    assert_same_features(extraction.extract(clicked, 16000, CONFIG), expected)


def test_a_pop_does_not_decide_the_level():
    popped = speech()
    popped[12000:12060] += 0.9 * np.hanning(60).astype(np.float32) * np.random.default_rng(0).choice([-1, 1], 60)
    expected = extraction.extract(speech(), 16000, CONFIG, flat_embedding)
    assert extraction.extract(popped, 16000, CONFIG, flat_embedding).level_gain == pytest.approx(
        expected.level_gain, rel=0.1
    )


@pytest.mark.parametrize("offset", [0.3, -0.9, 0.01])
@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_an_offset_changes_nothing(offset, rate_hz):
    samples = audio_io.to_mono(speech(), 16000, rate_hz)
    expected = extraction.extract(samples, rate_hz, CONFIG)
    assert_same_features(extraction.extract(samples + np.float32(offset), rate_hz, CONFIG), expected)


def test_a_drifting_offset_does_not_reach_the_training_data():
    drift = 0.4 * np.sin(np.linspace(0, 3, 32000)).astype(np.float32)
    expected = extraction.extract(speech(), 16000, CONFIG)
    assert_same_features(extraction.extract(speech() + drift, 16000, CONFIG), expected)


@pytest.mark.parametrize("level_db", [-60, -100])
def test_very_quiet_floating_point_speech_is_as_its_louder_copy(level_db):
    quiet = speech() * np.float32(10 ** (level_db / 20))
    expected, found = (extraction.extract(samples, 16000, CONFIG) for samples in (speech(), quiet))
    assert found.level_gain == pytest.approx(expected.level_gain * 10 ** (-level_db / 20), rel=1e-3)
    np.testing.assert_allclose(found.mel, expected.mel, atol=2e-3)
    np.testing.assert_allclose(found.f0_hz, expected.f0_hz, rtol=1e-2)
    assert found.embedding @ expected.embedding > 0.999


def test_everything_is_reproduced():
    samples = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    first, second = (extraction.extract(samples, 16000, CONFIG) for _ in range(2))
    for name in ("audio", "mel", "f0_hz", "embedding"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_embedders_receive_16_khz():
    received = []

    def listen(samples):
        received.append(len(samples))
        return flat_embedding(samples)

    config = AudioConfig(sample_rate_hz=24000, hop_samples=300, window_samples=1200)
    extraction.extract(voice(130, 1.0, 24000), 24000, config, listen)
    assert received == [16000]


@pytest.mark.parametrize("level_dbfs", [None, -26.0])
def test_silence_is_refused(level_dbfs):
    with pytest.raises(AudioError, match="silent"):
        extraction.extract(np.zeros(16000), 16000, AudioConfig(level_dbfs=level_dbfs), flat_embedding)


def test_librosa_is_not_imported():
    """Its compiler's cache needs a folder that can be written, which not every user has."""
    program = (
        "import sys, numpy as np; from evc_jax.features.extract import extract; "
        "extract(np.random.default_rng(0).normal(0, 0.1, 16000), 16000); "
        "assert not {'librosa', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
