"""A recording on another clock: its length, its pitch, its noise."""

import numpy as np
import pytest
from support.tiny_bundles import tone
from support.vowels import sung_vowel

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.wsola import warp_sound
from evc_jax.features.pitch import estimate_f0

HOP, RATE_HZ = 256, 16000


def at_rate(sound, rate):
    samples = round(len(sound) / rate)
    centres = np.minimum(np.arange(samples // HOP + 1) * rate * HOP, len(sound) - 1)
    return warp_sound(sound, centres, HOP, samples, RATE_HZ)


def test_its_own_clock_leaves_a_recording_unchanged():
    sound = tone(1.0)
    np.testing.assert_allclose(at_rate(sound, 1.0), sound, atol=1e-6)


@pytest.mark.parametrize("f0_hz", [75.0, 140.0, 420.0])
@pytest.mark.parametrize("rate", [0.7, 1.4])
def test_pitch_and_level_stay(f0_hz, rate):
    sound = sung_vowel(f0_hz)
    out = at_rate(sound, rate)
    f0 = estimate_f0(out, AudioConfig())
    assert len(out) == round(len(sound) / rate)
    assert abs(12 * np.log2(np.median(f0[f0 > 0]) / f0_hz)) < 0.2
    assert out[2000:-2000].std() == pytest.approx(sound[2000:-2000].std(), rel=0.15)


def test_noise_stays_noise():
    """A piece that were repeated in step would be heard as a tone: an autocorrelation far from 0."""
    sound = np.random.default_rng(0).standard_normal(32000).astype(np.float32)
    out = at_rate(sound, 0.7).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(out, 2 * len(out))) ** 2
    likeness = np.fft.irfft(spectrum)[30:4000] / np.fft.irfft(spectrum)[0]
    assert np.abs(likeness).max() < 0.25 and out.std() == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("samples", [1, 40, 900])
def test_very_short_sounds(samples):
    out = at_rate(np.ones(samples, np.float32), 0.5)
    assert len(out) == 2 * samples and np.isfinite(out).all()
