"""Cutting a long sequence of frames: chunks with the context they need, and overlapping windows that are joined again.

SpeechSplit is trained on at most 192 frames. Longer speech is converted window by window: one shape, so that nothing is
compiled twice, and a cross-fade over the overlap. Only a sequence shorter than one window is padded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped


@dataclass(frozen=True)
class Chunk:
    """A stretch to synthesize: `start` is its first frame, of which [first, end) are kept."""

    start: int
    first: int
    end: int


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


_SAME_LIKENESS = 1e-6  # rounding
WINDOW_FRAMES = 192
OVERLAP_FRAMES = 64


def window_starts(length: int, size: int = WINDOW_FRAMES, overlap: int = OVERLAP_FRAMES) -> Int[np.ndarray, " N"]:
    """Where the windows begin: evenly spread from 0 to the end, neighbours sharing at least `overlap` frames."""
    last = max(0, length - size)
    steps = -(-last // (size - overlap))
    return np.array([round(number * (last / max(1, steps))) for number in range(steps + 1)])


def split_windows(
    x: Shaped[np.ndarray, "T *rest"], size: int = WINDOW_FRAMES, overlap: int = OVERLAP_FRAMES
) -> Shaped[np.ndarray, "N {size} *rest"]:
    """Windows of `size` frames; where there are fewer frames than that, one window padded with zeros."""
    padded = np.concatenate([x, np.zeros((max(0, size - len(x)), *x.shape[1:]), x.dtype)])
    return np.stack([padded[start : start + size] for start in window_starts(len(x), size, overlap)])


def join_windows(
    windows: Float[np.ndarray, "N size *rest"], length: int, overlap: int = OVERLAP_FRAMES
) -> Float[np.ndarray, "{length} *rest"]:
    """The inverse of `split_windows`: each counts less towards its ends, and weights sum to one."""
    size = windows.shape[1]
    rise = np.minimum(np.arange(1, size + 1), overlap + 1) / (overlap + 1)
    weight = np.minimum(rise, rise[::-1]).astype(windows.dtype).reshape(-1, *[1] * (windows.ndim - 2))
    padded = max(length, size)
    total = np.zeros((padded, *windows.shape[2:]), windows.dtype)
    weights = np.zeros((padded, *weight.shape[1:]), windows.dtype)
    for start, window in zip(window_starts(length, size, overlap), windows, strict=True):
        total[start : start + size] += weight * window
        weights[start : start + size] += weight
    return (total / weights)[:length]


def delay_in_phase(sound: Float[np.ndarray, " S"], tail: Float[np.ndarray, " n"], most: int) -> int:
    """The number of samples, from 0 to `most`, by which the end of `sound` is delayed when it is most like `tail`.

    Of equally good ones, as in a tone that repeats itself, the smallest: where both are one sound it is 0.
    """
    candidates = sound[-(len(tail) + most) :].astype(np.float64)
    energies = np.convolve(np.square(candidates), np.ones(len(tail)), "valid")
    likeness = np.correlate(candidates, tail, "valid") / np.sqrt(np.maximum(energies, 1e-12))
    best = likeness.max()
    return most - int(np.flatnonzero(likeness >= best - _SAME_LIKENESS * abs(best))[-1])
