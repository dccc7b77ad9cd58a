"""Cutting a long sequence of frames into chunks of one size that overlap by the context they need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped


@dataclass(frozen=True)
class Chunk:
    """A stretch to synthesise: `start` is its first frame, of which [first, end) are kept."""

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
