"""Sung vowels: harmonics through formants, for tests of the F0."""

from __future__ import annotations

import numpy as np
from scipy import signal

# Frequencies of the formants in Hz, of women's voices; Hillenbrand et al. 1995.
VOWELS = {
    "a": (850, 1220, 2810, 3800),
    "e": (560, 2320, 2950, 3800),
    "i": (310, 2790, 3310, 3900),
    "o": (500, 900, 2830, 3800),
    "u": (370, 950, 2670, 3800),
}
BANDWIDTHS_HZ = (80, 90, 120, 150)
HIGHEST_HARMONIC_HZ = 7500.0


def sung_vowel(f0_hz: float, vowel: str = "a", seconds: float = 1.0, rate_hz: int = 16000) -> np.ndarray:
    """A sustained vowel with vibrato and a faint hiss, float32, peak about 0.4."""
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = np.cumsum(f0_hz * 2 ** (0.3 / 12 * np.sin(2 * np.pi * 5.5 * times_s))) / rate_hz
    harmonics = range(1, int(HIGHEST_HARMONIC_HZ / f0_hz) + 1)
    sound = np.sum([np.cos(2 * np.pi * harmonic * phase) / harmonic for harmonic in harmonics], axis=0)
    for centre_hz, width_hz in zip(VOWELS[vowel], BANDWIDTHS_HZ, strict=True):
        radius = np.exp(-np.pi * width_hz / rate_hz)
        poles = [1, -2 * radius * np.cos(2 * np.pi * centre_hz / rate_hz), radius**2]
        sound = signal.lfilter([sum(poles)], poles, sound)
    sound *= np.minimum(1, np.minimum(times_s, seconds - times_s) / 0.1)
    hiss = 2e-4 * np.random.default_rng(0).standard_normal(len(times_s))
    return (0.4 * sound / np.abs(sound).max() + hiss).astype(np.float32)
