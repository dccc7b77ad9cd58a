"""Frames at other times: lengths, exactness at whole frames, voicing, and the same from a stream."""

import numpy as np
import pytest

from evc_jax.features import time_warp


def frames(count, seed=0):
    return np.random.default_rng(seed).random((count, 3)).astype(np.float32)


def contour(count, seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(count) < 0.4, 0, rng.uniform(80, 300, count)).astype(np.float32)


def test_a_rate_of_one_returns_its_input_itself():
    x, f0_hz = frames(50), contour(50)
    assert time_warp.at_rate(x, 1, 50) is x and time_warp.f0_at_rate(f0_hz, 1.0, 50) is f0_hz
    assert time_warp.samples_at_rate(12345, 1.0) == 12345


@pytest.mark.parametrize("rate, samples", [(2, 500), (0.5, 2000), (1.2, 833)])
def test_length_is_divided_by_the_rate(rate, samples):
    assert time_warp.samples_at_rate(1000, rate) == samples
    assert time_warp.samples_at_rate(1, 2.0) == 1


def test_half_the_rate_puts_a_frame_between_neighbours():
    x = frames(4)
    slow = time_warp.at_rate(x, 0.5, 7)
    np.testing.assert_array_equal(slow[::2], x)
    np.testing.assert_allclose(slow[1::2], (x[:-1] + x[1:]) / 2, atol=1e-6)
    np.testing.assert_array_equal(time_warp.at_rate(x, 0.5, 9)[7:], [x[3], x[3]])


def test_f0_keeps_its_voicing_and_never_invents_low_notes():
    f0_hz = np.array([0, 100, 200, 0], np.float32)
    slow = time_warp.f0_at_rate(f0_hz, 0.5, 7)
    np.testing.assert_allclose(slow, [0, 100, 100, np.sqrt(20_000), 200, 0, 0], rtol=1e-6)
    contours = time_warp.f0_at_rate(contour(200), 0.73, 270)
    assert set(np.flatnonzero((contours > 0) & (contours < 80))) == set()
