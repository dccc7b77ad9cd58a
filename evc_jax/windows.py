"""Cutting a long sequence into overlapping windows of one size, and putting it together again without seams.

SpeechSplit is trained on at most 192 frames. Longer speech is converted window by window: one shape, so that nothing is
compiled twice, and a cross-fade over the overlap. Only a sequence shorter than one window is padded.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Shaped

WINDOW_FRAMES = 192
OVERLAP_FRAMES = 64


def starts(length: int, size: int = WINDOW_FRAMES, overlap: int = OVERLAP_FRAMES) -> Int[np.ndarray, " N"]:
    """Where the windows begin: evenly spread from 0 to the end, neighbours sharing at least `overlap` frames."""
    last = max(0, length - size)
    count = -(-last // (size - overlap)) + 1
    return np.round(np.linspace(0, last, count)).astype(int)


def split(
    x: Shaped[np.ndarray, "T *rest"], size: int = WINDOW_FRAMES, overlap: int = OVERLAP_FRAMES
) -> Shaped[np.ndarray, "N {size} *rest"]:
    """Windows of `size` frames; where there are fewer frames than that, one window padded with zeros."""
    padded = np.concatenate([x, np.zeros((max(0, size - len(x)), *x.shape[1:]), x.dtype)])
    return np.stack([padded[start : start + size] for start in starts(len(x), size, overlap)])


def join(
    windows: Float[np.ndarray, "N size *rest"], length: int, overlap: int = OVERLAP_FRAMES
) -> Float[np.ndarray, "{length} *rest"]:
    """The inverse of `split`: where windows overlap, each counts less towards its ends, and weights sum to one."""
    size = windows.shape[1]
    rise = np.minimum(np.arange(1, size + 1), overlap + 1) / (overlap + 1)
    weight = np.minimum(rise, rise[::-1]).reshape(-1, *[1] * (windows.ndim - 2)).astype(windows.dtype)
    total = np.zeros((max(size, length), *windows.shape[2:]), windows.dtype)
    weights = np.zeros((max(size, length), *weight.shape[1:]), windows.dtype)
    for start, window in zip(starts(length, size, overlap), windows, strict=True):
        total[start : start + size] += weight * window
        weights[start : start + size] += weight
    return (total / weights)[:length]
