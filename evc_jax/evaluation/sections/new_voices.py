"""Voices of no real person beside the training speakers: as varied, of the sex that was asked for, and nobody's own.

Source: Heusel et al. 2017 (Fréchet distance); Naeem et al. 2020 (coverage).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from evc_jax.conversion.requested_voice import SEXES
from evc_jax.data.dataset import open_speakers
from evc_jax.evaluation.bootstrap import Estimate, estimate
from evc_jax.evaluation.context import Context
from evc_jax.evaluation.report import Table

VOICES = 64  # sampled, of each sex
COMPONENTS = 16  # of the embeddings, that the Fréchet distance is taken of: the covariance of few speakers is singular
NEIGHBOURS = 3
DRAWS = 200
MIN_SPEAKERS = 8  # to be halved

Voices = Float[np.ndarray, "_N C"]


def new_voices_table(context: Context) -> Table:
    """Sampled voices against the training speakers of the datasets; one half of those against the other beside it."""
    table = open_speakers(context.settings.data_dir, context.settings.datasets, "train")
    real, sexes = table.embeddings, np.array(table.sexes)
    sampled = {sex: context.converter.voices.sample(VOICES, sex, seed=0) for sex in SEXES}
    voices = np.concatenate(list(sampled.values()))
    asked = np.repeat(list(sampled), VOICES)
    order = np.random.default_rng(0).permutation(len(real))
    halves = real[order[::2]], real[order[1::2]]
    lines = [("sampled voices", _cells(voices, asked, real, sexes))]
    if len(real) >= MIN_SPEAKERS:
        of_half = _cells(halves[0], sexes[order[::2]], halves[1], sexes[order[1::2]])
        lines.append(("half of the speakers, against the other half", of_half))
    header = ("", "Fréchet distance", "coverage", "sex right", "nearest speaker's cosine", "highest such cosine")
    note = (
        f"{len(voices)} voices, {len(real)} speakers. Coverage: share of the speakers that have a voice as "
        f"near as their {NEIGHBOURS}rd nearest fellow. Sex: of the nearest speaker. A highest cosine of nearly 1 would "
        "be a speaker learned by heart."
    )
    return Table("New voices", header, (".3f", ".2f", ".2f", ".2f", ".2f"), lines, note)


def _cells(voices: Voices, asked: np.ndarray, real: Voices, sexes: np.ndarray) -> list[Estimate]:
    cosines = voices @ real.T
    nearest, names = cosines.max(axis=1), [str(i) for i in range(len(voices))]
    right = (sexes[cosines.argmax(axis=1)] == asked).astype(float)
    real_names = [str(i) for i in range(len(real))]
    fellows = np.sort(real @ real.T - 2 * np.eye(len(real)), axis=1)[:, -min(NEIGHBOURS, max(len(real) - 1, 1))]
    covered = (cosines.max(axis=0) >= fellows).astype(float)
    highest = _drawn(lambda rows: float(nearest[rows].max()), len(voices))
    return [
        _frechet_estimate(voices, real),
        estimate(covered, real_names),
        estimate(right, names),
        estimate(nearest, names),
        highest,
    ]


def _frechet_estimate(voices: Voices, real: Voices) -> Estimate:
    mean = real.mean(axis=0)
    directions = np.linalg.svd(real - mean, full_matrices=False)[2][:COMPONENTS].T
    a, b = (voices - mean) @ directions, (real - mean) @ directions
    generator = np.random.default_rng(1)
    return _drawn(
        lambda rows: frechet_distance(a[rows], b[generator.integers(len(b), size=len(b))]),
        len(a),
        frechet_distance(a, b),
    )


def frechet_distance(a: Voices, b: Voices) -> float:
    """Fréchet distance of two Gaussians with the samples' means and covariances."""
    from scipy import linalg

    one, two = (np.cov(x, rowvar=False) for x in (a, b))
    values = np.maximum(linalg.eigvals(one @ two).real, 0)
    distance = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(one) + np.trace(two) - 2 * np.sqrt(values).sum()
    return float(max(distance, 0.0))


def _drawn(statistic: Callable[[np.ndarray], float], count: int, value: float | None = None) -> Estimate:
    """A statistic of all voices, or the given value of it, with its bootstrap interval."""
    generator = np.random.default_rng(0)
    values = [statistic(generator.integers(count, size=count)) for _ in range(DRAWS)]
    whole = statistic(np.arange(count)) if value is None else value
    # Drawing voices twice makes them less varied; the interval is moved back by as much.
    low, high = (np.percentile(values, (2.5, 97.5)) + whole - np.median(values)).tolist()
    return Estimate(whole, low, high, count, count)
