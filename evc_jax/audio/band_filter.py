"""A change of a recording's spectrum over time, in decibels of mel bands; the recording keeps its phases."""

from __future__ import annotations

import functools

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import BLOCK_FRAMES, frame_signal, hann_window, mel_filters, overlap_add


def filter_bands(
    sound: Float[np.ndarray, " S"], filter_db: Float[np.ndarray, "T F"], config: AudioConfig
) -> Float[np.ndarray, " S"]:
    """The sound with each frame's spectrum changed.

    What the filter adds is computed and added to the sound, so that a filter of 0 dB leaves every sample as it is.

    Args:
      sound: samples at the config's rate.
      filter_db: change of each mel band at each of the S // hop + 1 frames; bins between the bands' centres are
        interpolated, those outside have the change of the outermost band.
      config: rate, frames and bands.
    """
    from scipy import fft

    changed = filter_db.any(axis=1)
    if not changed.any():
        return sound
    window, hop, half = hann_window(config.window_samples), config.hop_samples, config.window_samples // 2
    to_bins = _bands_to_bins(config)
    frames = frame_signal(sound, config.window_samples, hop)
    added = np.zeros(len(sound) + config.window_samples + hop, np.float32)
    for first in range(0, len(frames), BLOCK_FRAMES):
        block = slice(first, first + BLOCK_FRAMES)
        gains = np.power(10.0, (filter_db[block] @ to_bins) / 20) - 1
        pieces = fft.irfft(fft.rfft(frames[block] * window, axis=1) * gains.astype(np.float32), axis=1) * window
        joined = overlap_add(pieces, hop)
        added[first * hop : first * hop + len(joined)] += joined
    # At both ends fewer windows overlap.
    weights = overlap_add(np.broadcast_to(window**2, frames.shape), hop)[half : half + len(sound)]
    weights = np.pad(weights, (0, len(sound) - len(weights)), mode="edge")
    return (sound + added[half : half + len(sound)] / np.maximum(weights, 0.1)).astype(np.float32)


@functools.cache
def _bands_to_bins(config: AudioConfig) -> Float[np.ndarray, "F bins"]:
    """Weights of the bands in each frequency bin: linear interpolation between the bands' centres."""
    filters = mel_filters(config)
    bins = np.arange(filters.shape[1])
    centres = (filters @ bins) / np.maximum(filters.sum(axis=1), 1e-9)
    # A band so narrow that no bin lies in it has no centre of its own.
    centres = np.maximum.accumulate(centres)
    return np.stack([np.interp(bins, centres, one) for one in np.eye(len(filters))]).astype(np.float32)
