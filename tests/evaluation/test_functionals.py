"""Functionals of sounds whose pitch, level and brightness are known."""

import numpy as np
import pytest
from scipy import signal
from support.vowels import sung_vowel

from evc_jax.audio.config import AudioConfig
from evc_jax.evaluation.functionals import REFERENCE_HZ, functionals
from evc_jax.features.pitch import estimate_f0

CONFIG = AudioConfig()


def measure(audio, f0_hz=None):
    f0_hz = estimate_f0(audio, CONFIG) if f0_hz is None else f0_hz
    return dict(zip(*functionals(audio, f0_hz, CONFIG), strict=True))


def test_pitch_formants_and_harmonicity_of_a_vowel():
    found = measure(sung_vowel(200, "a"))
    assert found["f0_p50"] == pytest.approx(12 * np.log2(200 / REFERENCE_HZ), abs=0.2)
    assert np.exp(found["f1_mean"]) == pytest.approx(850, rel=0.15)
    assert np.exp(found["f2_mean"]) == pytest.approx(1220, rel=0.2)
    noisy = measure(sung_vowel(200) + 0.05 * np.random.default_rng(0).standard_normal(16000).astype(np.float32))
    assert found["hnr_mean"] > noisy["hnr_mean"] + 5


def test_level_does_not_count_and_brightness_does():
    vowel = sung_vowel(150, "o")
    f0_hz = estimate_f0(vowel, CONFIG)
    one, quiet = measure(vowel, f0_hz), measure(0.1 * vowel, f0_hz)
    assert list(quiet.values()) == pytest.approx(list(one.values()), abs=0.05)
    bright = measure(signal.lfilter([1, -0.9], [1], vowel).astype(np.float32), f0_hz)
    assert bright["alpha_ratio_mean"] > one["alpha_ratio_mean"] + 4
    assert bright["hammarberg_mean"] < one["hammarberg_mean"] - 4


def test_a_whisper_has_finite_functionals():
    noise = 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    names, values = functionals(noise, np.zeros(32, np.float32), CONFIG)
    assert np.isfinite(values).all() and len(set(names)) == len(names) == len(values)
    assert measure(noise, np.zeros(32, np.float32)).keys() == measure(sung_vowel(200)).keys()
