"""Means with 95 % intervals, by drawing speakers and then recordings of each anew (hierarchical bootstrap).

Source: Davison and Hinkley 1997, section 3.8. With two speakers the interval is wide, and it should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 1000
LEVEL = 0.95
NAN = float("nan")


@dataclass(frozen=True)
class Estimate:
    """A mean, its interval, and how many recordings and speakers it is of; NaN where there are none."""

    mean: float
    low: float
    high: float
    recordings: int
    speakers: int


def estimate(
    values: Sequence[float] | np.ndarray,
    speakers: Sequence[str],
    weights: Sequence[float] | np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """The mean over recordings with its interval.

    Args:
      values: a number per recording; those that are not finite do not count.
      speakers: who spoke each.
      weights: of each; None weighs all the same.
      draws: of the bootstrap.
      seed: of the draws.
    """
    numbers = np.asarray(values, float)
    kept = np.isfinite(numbers)
    shares = (np.ones(len(numbers)) if weights is None else np.asarray(weights, float))[kept]
    names, numbers = np.asarray(speakers, dtype=str)[kept], numbers[kept]
    if not len(numbers):
        return Estimate(NAN, NAN, NAN, 0, 0)
    groups = [np.flatnonzero(names == name) for name in np.unique(names)]
    generator = np.random.default_rng(seed)
    # Sums over each drawn speaker's own draws; whoever is drawn twice is drawn from anew.
    chosen = generator.integers(len(groups), size=(draws, len(groups)))
    total, weight = np.zeros(draws), np.zeros(draws)
    for place in range(len(groups)):
        for number, group in enumerate(groups):
            rows = np.flatnonzero(chosen[:, place] == number)
            drawn = group[generator.integers(len(group), size=(len(rows), len(group)))]
            total[rows] += (shares[drawn] * numbers[drawn]).sum(axis=1)
            weight[rows] += shares[drawn].sum(axis=1)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(total / weight, (tail, 100 - tail)).tolist()
    return Estimate(float(np.average(numbers, weights=shares)), low, high, len(numbers), len(groups))
