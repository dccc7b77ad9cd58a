"""Chunks tile a sequence; cutting it into windows and joining them loses nothing, at any length."""

import numpy as np
import pytest

from evc_jax.audio.chunking import (
    OVERLAP_FRAMES,
    WINDOW_FRAMES,
    delay_in_phase,
    join_windows,
    plan_chunks,
    split_windows,
    window_starts,
)


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


@pytest.mark.parametrize("length", [1, 26, 191, 192, 193, 256, 320, 321, 1000])
@pytest.mark.parametrize("overlap", [32, 64, 160])
def test_join_inverts_split(length, overlap):
    x = np.random.default_rng(length).normal(size=(length, 3)).astype(np.float32)
    np.testing.assert_allclose(join_windows(split_windows(x, overlap=overlap), length, overlap), x, atol=1e-5)


@pytest.mark.parametrize("length", [192, 193, 400, 1777])
def test_neighbours_share_the_overlap_and_nothing_is_padded(length):
    begin = window_starts(length)
    assert begin[0] == 0 and begin[-1] == length - WINDOW_FRAMES
    assert np.all(np.diff(begin) <= WINDOW_FRAMES - OVERLAP_FRAMES)


def test_a_short_sequence_is_padded_with_zeros():
    (only,) = split_windows(np.ones((10, 2), np.float32))
    assert only.shape == (192, 2) and only[:10].all() and not only[10:].any()


def test_cross_fade_is_gradual():
    # Two windows that disagree: the result must go from one to the other in small steps, not in a jump.
    joined = join_windows(np.stack([np.zeros(192, np.float32), np.ones(192, np.float32)]), 320)
    assert joined[0] == 0 and joined[-1] == 1 and np.abs(np.diff(joined)).max() < 0.04


@pytest.mark.parametrize("delay", [0, 1, 70, 160])
def test_the_delay_that_continues_a_sound_in_phase(delay):
    sound = np.sin(2 * np.pi * np.arange(3000) / 170).astype(np.float32)
    tail = 0.5 * sound[2000 - delay : 2400 - delay]
    assert delay_in_phase(sound[:2400], tail, 160) == delay


def test_sound_that_goes_on_as_it_is_is_not_delayed():
    """Also where it repeats itself within the reach, or is silent."""
    tone = np.sin(2 * np.pi * 400 * np.arange(2400) / 16000).astype(np.float32)
    for sound in (tone, np.zeros(2400, np.float32)):
        assert delay_in_phase(sound, sound[-480:], 160) == 0
