"""Fundamental frequency: against RAPT, against known tones, and its normalization and classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import golden_features
from support.golden_features import voice

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import condition, frame_count
from evc_jax.features import pitch
from evc_jax.features.f0_codes import (
    DEFAULT_LOG_F0,
    MIN_LOG_F0_STD,
    LogF0Statistics,
    denormalize_f0,
    log_f0_statistics,
    normalize_f0,
    quantize_f0,
)

CONFIG = AudioConfig()


def test_agrees_with_rapt(golden_dir, data_dir):
    gross, voicing = [], []
    for golden in golden_features.read(golden_dir, data_dir):
        f0_hz, rapt_hz = pitch.estimate_f0(golden.samples, CONFIG), golden.rapt_f0_hz
        both = (f0_hz > 0) & (rapt_hz > 0)
        gross.append(np.mean(np.abs(f0_hz[both] / rapt_hz[both] - 1) > 0.2))
        voicing.append(np.mean((f0_hz > 0) != (rapt_hz > 0)))
    assert np.median(gross) <= 0.05
    assert np.median(voicing) <= 0.11


def test_normalization_agrees_with_golden(golden_dir, data_dir):
    for golden in golden_features.read(golden_dir, data_dir):
        statistics = log_f0_statistics(golden.rapt_f0_hz)
        normalized = normalize_f0(golden.rapt_f0_hz, statistics)
        voiced = (golden.normalized_log_f0 > 0) & (golden.rapt_f0_hz > 0)
        np.testing.assert_allclose(normalized[voiced], golden.normalized_log_f0[voiced], atol=0.02, err_msg=golden.name)


@pytest.mark.parametrize("f0_hz", [75.0, 110.0, 220.0, 440.0])
@pytest.mark.parametrize("gain", [0.003, 1.0])
def test_finds_known_tones(f0_hz, gain):
    found_hz = pitch.estimate_f0(voice(f0_hz, 1.0) * np.float32(gain), CONFIG)
    assert np.mean(found_hz > 0) > 0.9
    np.testing.assert_allclose(np.median(found_hz[found_hz > 0]), f0_hz, rtol=0.01)


@pytest.mark.parametrize("rate_hz, hop, window", [(8000, 128, 512), (24000, 300, 1200), (48000, 600, 2400)])
@pytest.mark.parametrize("f0_hz", [75.0, 440.0])
def test_finds_tones_at_other_rates(f0_hz, rate_hz, hop, window):
    config = AudioConfig(sample_rate_hz=rate_hz, hop_samples=hop, window_samples=window, mel_max_hz=rate_hz / 2)
    f0_found_hz = pitch.estimate_f0(voice(f0_hz, 1.0, rate_hz), config)
    np.testing.assert_allclose(np.median(f0_found_hz[f0_found_hz > 0]), f0_hz, rtol=0.01)


@pytest.mark.parametrize("peak", [1e-5, 1.0])
def test_the_strongest_period(peak):
    times_s = np.arange(1024) / 16000
    found_hz = [
        float(pitch.strongest_hz(peak * frame[None], 16000)[0])
        for frame in (
            *(np.sin(2 * np.pi * f0_hz * times_s) for f0_hz in (80, 200, 500)),
            np.random.default_rng(0).normal(size=1024),
            np.zeros(1024),
        )
    ]
    assert found_hz == [80, 200, 500, 0, 0]


@pytest.mark.parametrize("f0_hz", [80.0, 110.0, 220.0])
def test_mains_hum_is_not_a_voice(f0_hz):
    times_s = np.arange(32000) / 16000
    hum = (0.03 * np.sin(2 * np.pi * 60 * times_s)).astype(np.float32)
    samples = hum + np.concatenate([np.zeros(16000, np.float32), voice(f0_hz, 1.0)])
    found_hz = pitch.estimate_f0(samples, CONFIG)
    assert np.mean(found_hz[:55] > 0) < 0.05
    np.testing.assert_allclose(np.median(found_hz[65:120]), f0_hz, rtol=0.02)


@pytest.mark.parametrize("rate_hz, hop, window", [(16000, 256, 1024), (24000, 300, 1200)])
@pytest.mark.parametrize("samples", [1600, 2559, 2560, 16001])
def test_length_contract(rate_hz, hop, window, samples):
    config = AudioConfig(sample_rate_hz=rate_hz, hop_samples=hop, window_samples=window)
    for signal in (voice(150, 1.0, rate_hz)[:samples], np.zeros(samples, np.float32)):
        f0_hz = pitch.estimate_f0(signal, config)
        assert f0_hz.shape == (frame_count(samples, config),) and f0_hz.dtype == np.float32


def test_noise_is_unvoiced():
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    assert np.mean(pitch.estimate_f0(noise, CONFIG) > 0) < 0.1


def test_statistics_pool_utterances():
    tracks = [np.float32([0, 100, 110] * 10), np.float32([200, 0] * 10)]
    pooled = log_f0_statistics(np.concatenate(tracks))
    log_f0 = np.log([100.0, 110.0] * 10 + [200.0] * 10)
    assert (pooled.mean, pooled.std) == pytest.approx((log_f0.mean(), log_f0.std()), abs=1e-6)


def test_statistics_of_too_little():
    assert (
        log_f0_statistics(np.zeros(0, np.float32))
        == log_f0_statistics(np.zeros(50, np.float32))
        == LogF0Statistics(*DEFAULT_LOG_F0)
    )
    few = log_f0_statistics(np.float32([0, 200, 200]))
    assert few.mean == pytest.approx(np.log(200)) and few.std == DEFAULT_LOG_F0[1]
    assert log_f0_statistics(np.full(50, 200, np.float32)).std == MIN_LOG_F0_STD


def test_normalization_inverts_and_keeps_voicing():
    f0_hz = np.float32([0, 80, 120, 121, 200, 0, 5000, 10])
    statistics = LogF0Statistics(float(np.log(120)), 0.2)
    normalized = normalize_f0(f0_hz, statistics)
    assert normalized.min() >= 0 and normalized.max() <= 1
    np.testing.assert_array_equal(normalized > 0, f0_hz > 0)
    np.testing.assert_allclose(denormalize_f0(normalized, statistics)[:6], f0_hz[:6], rtol=1e-4)


@pytest.mark.parametrize("namespace", [np, jnp])
def test_classes(namespace):
    normalized = namespace.asarray([0.0, 1e-6, 0.5, 1.0, 128.4 / 255], dtype=namespace.float32)
    quantize = quantize_f0 if namespace is np else jax.jit(quantize_f0)
    classes = quantize(normalized)
    assert classes.dtype == namespace.int32 and isinstance(classes, namespace.ndarray)
    np.testing.assert_array_equal(classes, [0, 1, 129, 256, 129])


def test_class_count_is_free():
    assert quantize_f0(np.float32([0, 1e-6, 1]), classes=65).tolist() == [0, 1, 64]


@pytest.mark.parametrize("f0_hz", [80, 130, 290])
def test_periodic_frames_are_those_of_d4c(f0_hz):
    import pyworld

    generator = np.random.default_rng(f0_hz)
    hiss = np.linspace(0, 0.3, 32000) * generator.normal(size=32000)  # from a clear voice to one that drowns in it
    samples = condition(voice(f0_hz, 2.0) + hiss, CONFIG)
    times_s = np.arange(126) * CONFIG.hop_samples / 16000
    track_hz = np.where(np.arange(126) % 10 == 0, 0, f0_hz * generator.uniform(0.95, 1.05, 126))
    found = pitch.periodic(samples, track_hz, times_s, CONFIG)
    aperiodicity = pyworld.d4c(samples, track_hz, times_s, 16000, threshold=pitch.LOVE_TRAIN_THRESHOLD)
    np.testing.assert_array_equal(found, aperiodicity.min(axis=1) < 1 - 1e-6)
    assert 10 < found.sum() < 100
