"""Frames at other times: the rate control, and warping one recording onto another's clock."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def warp(x: Float[np.ndarray, "T *rest"], positions: Float[np.ndarray, " Tout"]) -> Float[np.ndarray, "Tout *rest"]:
    """Frames of `x` at positions between its frames, by linear interpolation, as SpeechSplit's training resamples."""
    lower, upper, fraction = _neighbours(len(x), positions)
    fraction = fraction.reshape(-1, *[1] * (x.ndim - 1)).astype(np.float32)
    return ((1 - fraction) * x[lower] + fraction * x[upper]).astype(np.float32)


def warp_f0(f0_hz: Float[np.ndarray, " T"], positions: Float[np.ndarray, " Tout"]) -> Float[np.ndarray, " Tout"]:
    """Like `warp` for F0 in Hz: voiced where the nearest frame is, the logarithm interpolated between voiced frames.

    NOTE: SpeechSplit's resampling interpolates towards the 0 of unvoiced frames too, which makes false low notes.
    """
    lower, upper, fraction = _neighbours(len(f0_hz), positions)
    nearest = f0_hz[np.where(fraction < 0.5, lower, upper)]
    both = (f0_hz[lower] > 0) & (f0_hz[upper] > 0)
    low, high = (np.log(np.where(both, f0_hz[index], 1.0)) for index in (lower, upper))
    return np.where(both, np.exp(low + fraction * (high - low)), nearest).astype(np.float32)


def at_length(x: Float[np.ndarray, "T *rest"], frames: int) -> Float[np.ndarray, "_ *rest"]:
    """So many frames of `x` at equal distances, the first and the last one among them."""
    return warp(x, np.linspace(0, len(x) - 1, frames))


def smooth(x: Float[np.ndarray, "T C"], frames: int) -> Float[np.ndarray, "T C"]:
    """Means over an odd number of frames, of which the outer ones count less."""
    weights = np.hanning(frames + 2)[1:-1]
    padded = np.pad(x, ((frames // 2, frames // 2), (0, 0)), mode="edge")
    return sum(w * padded[i : i + len(x)] for i, w in enumerate(weights / weights.sum()))


def samples_at_rate(samples: int, rate: float) -> int:
    """Length of a recording that is spoken `rate` times as fast; never less than one sample."""
    return samples if rate == 1 else max(1, round(samples / rate))


def at_rate(x: Float[np.ndarray, "T *rest"], rate: float, frames: int) -> Float[np.ndarray, "_ *rest"]:
    """The first `frames` frames of mel-spectrograms spoken `rate` times as fast; a rate of 1 returns `x` itself."""
    return x if rate == 1 else warp(x, np.arange(frames) * float(rate))


def f0_at_rate(f0_hz: Float[np.ndarray, " T"], rate: float, frames: int) -> Float[np.ndarray, " _"]:
    """`at_rate` for F0 in Hz."""
    return f0_hz if rate == 1 else warp_f0(f0_hz, np.arange(frames) * float(rate))


def _neighbours(frames: int, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    positions = np.clip(positions.astype(np.float64), 0, frames - 1)
    lower = np.floor(positions).astype(int)
    return lower, np.minimum(lower + 1, frames - 1), positions - lower
