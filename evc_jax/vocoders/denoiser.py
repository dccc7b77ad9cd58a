"""Subtracts WaveGlow's hum from its sound.

WaveGlow makes groups of samples at once. What always differs within a group sounds like tones at the multiples of
rate / group. They are in its output for a mel of zeros without noise; the spectrum of that output is subtracted.
Source: NVIDIA's WaveGlow, `denoiser.py`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from evc_jax.audio.mel import hann_window, overlap_add, stft

WINDOW_SAMPLES = 1024
HOP_SAMPLES = 256


def bias_spectrum(hum: Float[np.ndarray, " S"]) -> Float[np.ndarray, " bins"]:
    """Magnitudes of a vocoder's output for silence, of at least `WINDOW_SAMPLES` samples.

    NOTE: the mean over all frames; the original takes the first one, which is half outside the sound.
    """
    return np.abs(stft(hum, hann_window(WINDOW_SAMPLES), HOP_SAMPLES)).mean(axis=0).astype(np.float32)


class Denoiser:
    """Subtracts a spectrum from the magnitudes of the short-time spectrum, down to zero; phases stay."""

    def __init__(self, bias: Float[np.ndarray, " bins"], strength: float):
        """`bias` is from `bias_spectrum`; of it `strength`, from 0 to 1, is subtracted."""
        self._subtracted = (strength * bias).astype(np.float32)

    def __call__(self, sound: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
        """The sound without the hum; zeros before and after it put each sample into equally many windows."""
        overlap, window = WINDOW_SAMPLES - HOP_SAMPLES, hann_window(WINDOW_SAMPLES)
        spectrum = stft(np.pad(sound, (overlap, WINDOW_SAMPLES)), window, HOP_SAMPLES)
        magnitude = np.abs(spectrum)
        kept = np.maximum(magnitude - self._subtracted, 0) / np.maximum(magnitude, 1e-12)
        weight = (window**2).reshape(-1, HOP_SAMPLES).sum(axis=0).mean()
        frames = np.fft.irfft(spectrum * kept, WINDOW_SAMPLES, axis=1) * (window / weight)
        # `overlap_add` sums from the latest frame to the earliest. Reversed, rounding stays that of adding in order.
        return overlap_add(frames[::-1, ::-1], HOP_SAMPLES)[::-1][overlap:][: len(sound)]
