"""Aligning recordings of one sentence: known warps are found, at any length, in bounded memory."""

import numpy as np
import pytest

from evc_jax.features import dtw, time_warp


def speech(count, seed=0):
    """Something with syllables: smooth random spectra, [T, 80]."""
    rng = np.random.default_rng(seed)
    targets = rng.random((count // 8 + 3, 6)) @ rng.random((6, 80)) / 3
    return time_warp.warp(targets.astype(np.float32), np.arange(count) / 8)


def test_a_recording_is_aligned_with_itself():
    x = speech(120)
    np.testing.assert_allclose(dtw.align(x, x), np.arange(120), atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_known_warp_is_found(seed):
    x = speech(200, seed)
    pace = np.random.default_rng(seed).uniform(0.5, 1.5, 160)
    positions = np.cumsum(pace) * 199 / pace.sum()
    found = dtw.align(time_warp.warp(x, positions), x)
    assert np.abs(found - positions).mean() < 2.5
    assert (np.diff(found) >= -1e-4).all() and found.min() >= 0 and found.max() <= 199


def test_level_and_color_make_no_difference():
    x = speech(150)
    other = time_warp.warp(x, np.linspace(0, 149, 190))
    colored = 0.8 * other + np.linspace(0, 0.1, 80, dtype=np.float32)
    assert np.abs(dtw.align(colored, x) - np.linspace(0, 149, 190)).mean() < 2


def test_the_path_covers_both_recordings_step_by_step():
    path = dtw.find_path(speech(70), speech(40, 1))
    assert path[:, 0].tolist() == [0, 0] and path[:, -1].tolist() == [69, 39]
    steps = np.diff(path)
    assert set(map(tuple, steps.T)) <= {(0, 1), (1, 0), (1, 1)}


def test_the_cheapest_path_is_found(monkeypatch):
    """Against the textbook's double loop."""
    a, b = np.random.default_rng(0).random((2, 12, 3)).astype(np.float32)
    a = a[:9]
    cost = np.linalg.norm(a[:, None] - b[None], axis=2).astype(np.float64)
    best = np.full((len(a) + 1, len(b) + 1), np.inf)
    best[1, 1] = cost[0, 0]
    for i in range(len(a)):
        for j in range(len(b)):
            steps = (best[i, j] + 2 * cost[i, j], best[i, j + 1] + cost[i, j], best[i + 1, j] + cost[i, j])
            best[i + 1, j + 1] = min(best[i + 1, j + 1], *steps)
    monkeypatch.setattr(dtw, "_spectral_shape", lambda mel: mel)
    rows, columns = dtw.find_path(a, b)
    diagonal = (np.diff(rows) > 0) & (np.diff(columns) > 0)
    found = cost[0, 0] + (cost[rows, columns][1:] * (1 + diagonal)).sum()
    assert found == pytest.approx(best[-1, -1])


@pytest.mark.parametrize("frames", [(1, 1), (1, 30), (30, 1), (2, 300)])
def test_very_short_recordings(frames):
    positions = dtw.align(speech(frames[0]), speech(frames[1], 1))
    assert positions.shape == (frames[0],) and np.isfinite(positions).all()


def test_a_narrow_band_still_connects_the_ends(monkeypatch):
    monkeypatch.setattr(dtw, "_MAX_CELLS", 600)
    x = speech(300)
    positions = dtw.align(time_warp.warp(x, np.linspace(0, 299, 100)), x)
    assert np.abs(positions - np.linspace(0, 299, 100)).max() < 12
