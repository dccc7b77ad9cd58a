"""Means and their intervals: exact where the answer is known, wide where speakers differ."""

import numpy as np
import pytest

from evc_jax.evaluation.bootstrap import estimate


def test_a_constant_has_no_width_and_what_is_not_finite_does_not_count():
    found = estimate([2.0, np.nan, 2.0, np.inf], ["a", "a", "b", "b"])
    assert (found.mean, found.low, found.high, found.recordings, found.speakers) == (2, 2, 2, 2, 2)
    nothing = estimate([np.nan], ["a"])
    assert np.isnan([nothing.mean, nothing.low, nothing.high]).all() and nothing.recordings == 0


def test_the_interval_of_one_speaker_is_that_of_a_mean():
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = estimate(values, ["a"] * 400)
    half = 1.96 * values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert [found.low, found.high] == pytest.approx([found.mean - half, found.mean + half], abs=0.04)


def test_recordings_do_not_make_up_for_speakers():
    values = np.repeat([0.0, 1.0], 100) + np.random.default_rng(0).normal(0, 0.01, 200)
    of_two = estimate(values, ["a"] * 100 + ["b"] * 100)
    assert of_two.low < 0.01 and of_two.high > 0.99  # both draws may be one speaker
    of_many = estimate(values, [str(i) for i in range(200)])
    assert 0.4 < of_many.low < of_many.high < 0.6


def test_weights_make_rare_classes_count_as_much():
    values, weights = [1.0] * 9 + [0.0], [1 / 9] * 9 + [1.0]
    found = estimate(values, list("ababababab"), weights)
    assert found.mean == pytest.approx(0.5) and 0 <= found.low <= found.high <= 1
