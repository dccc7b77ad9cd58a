"""Distances between recordings."""

import numpy as np
import pytest

from evc_jax.audio.config import AudioConfig
from evc_jax.evaluation import metrics

CONFIG = AudioConfig()


def noise(seconds=0.5, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(int(16000 * seconds))).astype(np.float32)


def test_mel_l1_measures_decibels():
    source = noise()
    assert metrics.mel_l1(source, source, CONFIG) == 0
    assert metrics.mel_l1(source, 10 ** (3 / 20) * source, CONFIG) == pytest.approx(0.03, abs=1e-3)
    assert metrics.mel_l1(source, source[:-4000], CONFIG) < 0.01


def test_f0_summary():
    f0_hz = np.array([0, 100, 100, 200, 200, 0], np.float32)
    summary = metrics.f0_summary(f0_hz)
    assert summary.median_hz == 150
    assert summary.range_semitones == pytest.approx(12)
    assert summary.voiced_fraction == pytest.approx(4 / 6)
    assert np.isnan(metrics.f0_summary(np.zeros(4, np.float32)).median_hz)


def test_cosine():
    a, b = np.eye(2, dtype=np.float32)
    assert metrics.cosine(a, 3 * a) == pytest.approx(1)
    assert metrics.cosine(a, b) == 0


def _syllables(frames, seed=0):
    rng = np.random.default_rng(seed)
    return np.repeat(rng.random((frames // 6 + 1, 80)), 6, axis=0)[:frames].astype(np.float32)


def test_f0_correlation_finds_what_belongs_together():
    mel = _syllables(90)
    f0_hz = np.repeat(np.random.default_rng(1).uniform(100, 200, 15), 6).astype(np.float32)
    slow = np.repeat(np.arange(90), 2)
    assert metrics.f0_correlation(mel, f0_hz, mel, 1.7 * f0_hz) == pytest.approx(1, abs=1e-5)
    assert metrics.f0_correlation(mel, f0_hz, mel, 15_000 / f0_hz) == pytest.approx(-1, abs=1e-5)
    assert metrics.f0_correlation(mel, f0_hz, mel[slow], f0_hz[slow]) > 0.9
    assert np.isnan(metrics.f0_correlation(mel, f0_hz, mel, 0 * f0_hz))
    assert np.isnan(metrics.f0_correlation(mel, f0_hz, mel, 0 * f0_hz + 100))


def test_timing_distance_is_a_time():
    mel = _syllables(120)
    late = np.concatenate([np.zeros((10, 80), np.float32), mel])
    assert metrics.timing_distance_s(mel, mel, CONFIG) == 0
    assert metrics.timing_distance_s(mel, late, CONFIG) == pytest.approx(0.16, abs=0.02)
