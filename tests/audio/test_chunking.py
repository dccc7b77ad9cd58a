"""Chunks: they tile a sequence, and cutting them out of blocks needs little of it at a time."""

import numpy as np
import pytest

from evc_jax.audio.chunking import cut, cut_chunks, exactly, plan_chunks


@pytest.mark.parametrize(
    "frames, size, before, after", [(64, 64, 3, 2), (65, 64, 3, 2), (700, 64, 20, 19), (300, 64, 0, 0)]
)
def test_chunks_tile_the_recording_with_their_context(frames, size, before, after):
    chunks = list(plan_chunks(frames, size, before, after))
    kept = [frame for chunk in chunks for frame in range(chunk.first, chunk.end)]
    assert kept == list(range(frames))
    for chunk in chunks:
        assert chunk.start >= 0 and chunk.start + size <= frames
        assert chunk.first - chunk.start >= min(before, chunk.first)
        assert chunk.start + size - chunk.end >= min(after, frames - chunk.end)


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_each_chunk_comes_with_its_frames(block):
    x = np.arange(700.0).reshape(350, 2)
    for chunk, frames in cut_chunks(np.split(x, range(block, 350, block)), 350, 64, 20, 19):
        np.testing.assert_array_equal(frames, x[chunk.start : chunk.start + 64])


def test_cutting_asks_for_no_more_than_it_needs():
    asked = []

    def blocks():
        for number in range(10):
            asked.append(number)
            yield np.full(10, number)

    stretches = cut(blocks(), [0, 15], 20)
    next(stretches)
    assert asked == [0, 1]
    next(stretches)
    assert asked == [0, 1, 2, 3]
    assert next(stretches, None) is None and asked == [0, 1, 2, 3]


@pytest.mark.parametrize("samples", [1, 5, 6, 10, 13])
def test_exactly_cuts_and_fills(samples):
    sound = np.arange(10, dtype=np.float32) + 1
    out = np.concatenate(list(exactly([sound[:5], sound[5:]], samples)))
    np.testing.assert_array_equal(out, np.pad(sound, (0, 5))[:samples])
