"""Griffin-Lim: sound from mel spectrograms without training.

Sources: fast Griffin-Lim (Perraudin et al. 2013); non-negative inversion of the mel filters (Lee and Seung 2001).
NOTE: librosa.griffinlim on the same magnitudes gives the same mel error (15 s of speech, 32 iterations: 0.76 dB there,
0.77 dB here) and takes 2.0 s of processor time instead of 1.4 s.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import hann_window, istft, mel_filters, mel_to_magnitude, overlap_add, stft

ITERATIONS = 32
_MOMENTUM = 0.99
_INVERSION_STEPS = 30


def griffin_lim(
    mel: Float[np.ndarray, "T F"],
    config: AudioConfig,
    *,
    length: int,
    iterations: int = ITERATIONS,
    seed: int = 0,
) -> Float[np.ndarray, " S"]:
    """Sound whose mel spectrogram is close to the given one, by fast Griffin-Lim.

    Args:
      mel: the bundle's mel in [0, 1] (see `audio.log_mel`).
      config: the settings the mel was computed with.
      length: samples to return; T frames carry at most (T - 1) * hop + window / 2 of them, the rest is silence.
      iterations: phase iterations; 32 for 60 s of speech take about two seconds on one core.
      seed: of the initial phase.
    """
    magnitude = mel_to_linear(mel, config)
    window = hann_window(config.window_samples)
    norm = overlap_add(np.broadcast_to(window**2, (len(mel), len(window))), config.hop_samples)
    norm = np.maximum(norm, 1e-2 * norm.max())
    angles = np.exp(1j * np.random.default_rng(seed).uniform(0, 2 * np.pi, magnitude.shape).astype(np.float32))
    previous = np.zeros_like(angles)
    for _ in range(iterations):  # in place as far as possible: each of these arrays has 15 MB a minute
        angles *= magnitude
        signal = istft(angles, window, config.hop_samples) / norm
        rebuilt = stft(signal, window, config.hop_samples)
        previous *= -_MOMENTUM / (1 + _MOMENTUM)
        angles = np.add(rebuilt, previous, out=previous)
        angles /= np.abs(angles) + 1e-12
        previous = rebuilt
    angles *= magnitude
    signal = istft(angles, window, config.hop_samples) / norm
    # The analysis centres frame t on sample t * hop, so half a window lies before the first sample.
    signal = signal[config.window_samples // 2 :][:length] / config.gain
    return np.pad(signal, (0, length - len(signal))).astype(np.float32)


def mel_to_linear(mel: Float[np.ndarray, "T F"], config: AudioConfig) -> Float[np.ndarray, "T bins"]:
    """Non-negative STFT magnitudes with the given mel, by multiplicative updates (Lee and Seung 2001).

    The mel of the result is within about 0.3 dB of the given one. An exact non-negative solver takes minutes for what
    this does in milliseconds.
    """
    filters = np.asarray(mel_filters(config), np.float32)  # [F, bins]
    target = np.asarray(mel_to_magnitude(mel, config), np.float32)
    linear = (target / np.maximum(filters.sum(1), 1e-8)) @ filters + 1e-8
    numerator = target @ filters
    for _ in range(_INVERSION_STEPS):
        linear *= numerator / np.maximum((linear @ filters.T) @ filters, 1e-10)
    return linear
