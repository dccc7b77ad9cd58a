"""Cutting a long sequence of frames: chunks with the context they need, and overlapping windows that are joined again.

SpeechSplit is trained on at most 192 frames. Longer speech is converted window by window: one shape, so that nothing is
compiled twice, and a cross-fade over the overlap. Only a sequence shorter than one window is padded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped


@dataclass(frozen=True)
class Chunk:
    """A stretch to synthesize: `start` is its first frame, of which [first, end) are kept."""

    start: int
    first: int
    end: int


def cut_chunks(
    blocks: Iterable[Shaped[np.ndarray, "_ *rest"]], frames: int, size: int, before: int, after: int, step: int = 1
) -> Iterator[tuple[Chunk, Shaped[np.ndarray, "{size} *rest"]]]:
    """Each chunk of `plan_chunks` with its frames, of a sequence that comes in blocks of any length."""
    starts = (chunk.start for chunk in plan_chunks(frames, size, before, after, step))
    return zip(plan_chunks(frames, size, before, after, step), cut(blocks, starts, size))


def plan_chunks(frames: int, size: int, before: int, after: int, step: int = 1) -> Iterator[Chunk]:
    """Chunks of exactly `size` frames whose kept stretches tile `frames`, each with its context inside the chunk.

    Args:
      frames: at least `size`.
      size: more than before + after.
      before: frames of context that a kept frame needs before it, unless the recording begins there.
      after: the same after it.
      step: what divides every start; it must divide `frames` and `size`, which is then at least before + after + step.
    """
    first = 0
    while first < frames:
        start = min(max(0, first - before) // step * step, frames - size)
        end = frames if start + size == frames else start + size - after
        yield Chunk(start, first, end)
        first = end


def cut(
    blocks: Iterable[Shaped[np.ndarray, "_ *rest"]], starts: Iterable[int], size: int
) -> Iterator[Shaped[np.ndarray, "{size} *rest"]]:
    """Stretches of `size` frames, each overlapping the one before, of a sequence that comes in blocks of any length.

    No more than one stretch and one block are in memory. What follows the last stretch is not asked for.
    """
    blocks = iter(blocks)
    held, first = next(blocks), 0
    for start in starts:
        held, first = held[start - first :], start
        while len(held) < size:
            held = np.concatenate([held, next(blocks)])
        yield held[:size]


def exactly(blocks: Iterable[Float[np.ndarray, " _"]], samples: int) -> Iterator[Float[np.ndarray, " s"]]:
    """The blocks, cut off or followed by zeros so that there are exactly `samples` samples."""
    left = samples
    for block in blocks:
        if left <= 0:
            break
        yield block[:left]
        left -= min(left, len(block))
    if left > 0:
        yield np.zeros(left, np.float32)


WINDOW_FRAMES = 192
OVERLAP_FRAMES = 64


def window_starts(length: int, size: int = WINDOW_FRAMES, overlap: int = OVERLAP_FRAMES) -> Int[np.ndarray, " N"]:
    """Where the windows begin: evenly spread from 0 to the end, neighbours sharing at least `overlap` frames."""
    return np.array(list(_starts(length, size, overlap)))


def _starts(length: int, size: int, overlap: int) -> Iterator[int]:
    last = max(0, length - size)
    steps = -(-last // (size - overlap))
    return (round(number * (last / max(1, steps))) for number in range(steps + 1))


def split_windows(
    x: Shaped[np.ndarray, "T *rest"], size: int = WINDOW_FRAMES, overlap: int = OVERLAP_FRAMES
) -> Shaped[np.ndarray, "N {size} *rest"]:
    """Windows of `size` frames; where there are fewer frames than that, one window padded with zeros."""
    padded = np.concatenate([x, np.zeros((max(0, size - len(x)), *x.shape[1:]), x.dtype)])
    return np.stack([padded[start : start + size] for start in window_starts(len(x), size, overlap)])


def join_windows(
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
        yield from split_windows(np.concatenate(list(blocks)), size, overlap)
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
