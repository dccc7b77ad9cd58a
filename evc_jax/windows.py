"""Cutting a long sequence into overlapping windows of one size, and putting it together again without seams.

SpeechSplit is trained on at most 192 frames. Longer speech is converted window by window: one shape, so that nothing is
compiled twice, and a cross-fade over the overlap. Only a sequence shorter than one window is padded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, Int, Shaped

from evc_jax.chunks import cut

WINDOW_FRAMES = 192
OVERLAP_FRAMES = 64


def starts(length: int, size: int = WINDOW_FRAMES, overlap: int = OVERLAP_FRAMES) -> Int[np.ndarray, " N"]:
    """Where the windows begin: evenly spread from 0 to the end, neighbours sharing at least `overlap` frames."""
    return np.array(list(_starts(length, size, overlap)))


def _starts(length: int, size: int, overlap: int) -> Iterator[int]:
    last = max(0, length - size)
    steps = -(-last // (size - overlap))
    return (round(number * (last / max(1, steps))) for number in range(steps + 1))


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
    return np.concatenate(list(join_stream(windows, length, windows.shape[1], overlap)))


def split_stream(
    blocks: Iterable[Shaped[np.ndarray, "_ *rest"]],
    length: int,
    size: int = WINDOW_FRAMES,
    overlap: int = OVERLAP_FRAMES,
) -> Iterator[Shaped[np.ndarray, "{size} *rest"]]:
    """`split` for `length` frames that come in blocks; one window after the other."""
    if length < size:
        yield from split(np.concatenate(list(blocks)), size, overlap)
    else:
        yield from cut(blocks, _starts(length, size, overlap), size)


def join_stream(
    windows: Iterable[Float[np.ndarray, "{size} *rest"]],
    length: int,
    size: int = WINDOW_FRAMES,
    overlap: int = OVERLAP_FRAMES,
) -> Iterator[Float[np.ndarray, "t *rest"]]:
    """`join` for windows that come one after the other; `length` frames in blocks, each as soon as it is complete."""
    begins = _starts(length, size, overlap)
    start = next(begins)
    total = weights = None
    for window in windows:
        if total is None:
            weight = _weight(size, overlap).reshape(-1, *[1] * (window.ndim - 1)).astype(window.dtype)
            total, weights = np.zeros_like(window), np.zeros_like(weight)
        total, weights = total + weight * window, weights + weight
        following = next(begins, length)
        done, start = following - start, following
        yield (total / weights)[:done]
        total, weights = (np.concatenate([x[done:], np.zeros_like(x[:done])]) for x in (total, weights))


def _weight(size: int, overlap: int) -> Float[np.ndarray, " size"]:
    rise = np.minimum(np.arange(1, size + 1), overlap + 1) / (overlap + 1)
    return np.minimum(rise, rise[::-1])
