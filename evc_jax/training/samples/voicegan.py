"""VoiceGAN: where its voices lie among real ones, and whether it merely repeats those of the training."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evc_jax.audio import plotting
from evc_jax.audio.plotting import DARK_INK, Picture
from evc_jax.conversion.options import SEXES
from evc_jax.data.dataset import SpeakerTable, open_speakers
from evc_jax.errors import DataError
from evc_jax.training.samples.sample_logger import SampleLogger, Summary

VOICES = 100  # generated of each sex
MAX_DOTS = 500  # real voices drawn of each sex
_COLORS = {"male": "#0969da", "female": "#d1470c"}
_TRAINING, _HELD_OUT = "#8c959f", "#1a7f37"

Embeddings = Float[np.ndarray, "N E"]
Voices = Mapping[str, Float[np.ndarray, "_ E"]]  # by sex


class VoiceGANSampleLogger(SampleLogger):
    """A map of the voices, and their distances to the training's speakers."""

    def _summaries(self, params: Any) -> Iterator[Summary]:
        # A generator that diverged must not stop the training.
        generated = np.nan_to_num(np.asarray(self._run(params)))
        made = dict(zip(SEXES, np.split(generated, len(SEXES)), strict=True))
        yield Summary("voices/map", draw_map(*self._real, made))
        yield Summary("voices/nearest", draw_nearest(*self._real, made))

    @functools.cached_property
    def _real(self) -> tuple[Voices, Voices]:
        """Those that were trained on, and those of the validation, of which there may be none."""
        data = self._data
        training = _by_sex(open_speakers(data.data_dir, data.datasets, "train"))
        try:
            return training, _by_sex(open_speakers(data.data_dir, data.datasets, "validation"))
        except DataError:  # nobody was held out
            return training, {sex: voices[:0] for sex, voices in training.items()}

    def _trace(self, params: Any) -> Float[Array, "N E"]:
        """The same `VOICES` for each sex from the same noise; those of the first sex come first."""
        noise = jax.random.normal(jax.random.key(0), (VOICES, self._model.noise_dim))
        sex = jax.nn.one_hot(jnp.repeat(jnp.arange(len(SEXES)), VOICES), self._model.sexes)
        return self._network.apply(params, jnp.tile(noise, (len(SEXES), 1)), sex)


def draw_map(training: Voices, held_out: Voices, made: Voices) -> Picture:
    """Real and generated voices on the two principal axes of the training's speakers, per sex."""
    mean, axes_of, shares = _principal_axes(np.concatenate([*training.values()]))
    figure = plotting.new_figure(9.0, 4.8, "Voices on the principal axes of the training's speakers")
    columns = figure.subplots(1, len(SEXES), sharex=True, sharey=True, squeeze=False)[0]
    for axes, sex in zip(columns, SEXES, strict=True):
        for other in SEXES:
            if other != sex:
                _dots(axes, _thin(training[other]), mean, axes_of, f"{other}, training", color="#d8dee4", s=8)
        _dots(axes, _thin(training[sex]), mean, axes_of, f"{sex}, training", color=_TRAINING, s=14)
        _dots(axes, _thin(held_out[sex]), mean, axes_of, f"{sex}, validation", color=_HELD_OUT, s=34, marker="x")
        ring = {"facecolors": "none", "edgecolors": _COLORS[sex], "linewidths": 1.2, "s": 26}
        _dots(axes, made[sex], mean, axes_of, f"{sex}, generated", **ring)
        axes.set_title(sex, color=DARK_INK, fontsize=10, loc="left")
        axes.set_xlabel(f"axis 1 ({shares[0]:.0%} of the variance)", color=DARK_INK, fontsize=9)
        axes.legend(fontsize=8, framealpha=0.8, labelcolor=DARK_INK, loc="best")
        _style(axes)
    columns[0].set_ylabel(f"axis 2 ({shares[1]:.0%} of the variance)", color=DARK_INK, fontsize=9)
    return plotting.render(figure)


def draw_nearest(training: Voices, held_out: Voices, made: Voices) -> Picture:
    """How similar voices are to the nearest speaker of the training: generated ones, and speakers that were held out.

    Generated voices far to the right of the others are copies, far to the left of them no human voices.
    """
    speakers = np.concatenate([*training.values()])
    figure = plotting.new_figure(9.0, 2.3 * len(SEXES) + 0.5, "Cosine similarity to the nearest training speaker")
    rows = figure.subplots(len(SEXES), 1, sharex=True, squeeze=False)[:, 0]
    for axes, sex in zip(rows, SEXES, strict=True):
        same = _thin(training[sex])
        groups = {
            "training, to the nearest other": (nearest_cosines(same, speakers, among_them=True), _TRAINING),
            "validation": (nearest_cosines(_thin(held_out[sex]), speakers), _HELD_OUT),
            "generated": (nearest_cosines(made[sex], speakers), _COLORS[sex]),
        }
        for label, (cosines, color) in groups.items():
            if not len(cosines):
                continue
            backdrop = color == _TRAINING
            kind = {"histtype": "stepfilled", "alpha": 0.35} if backdrop else {"histtype": "step", "linewidth": 2}
            label = f"{label} ({len(cosines)}): median {np.median(cosines):.2f}"
            weights = np.full(len(cosines), 100 / len(cosines))
            axes.hist(cosines, bins=np.linspace(0, 1, 51), weights=weights, color=color, label=label, **kind)
        axes.set_title(sex, color=DARK_INK, fontsize=10, loc="left")
        axes.set_ylabel("voices in %", color=DARK_INK, fontsize=9)
        axes.legend(fontsize=8, framealpha=0.8, labelcolor=DARK_INK, loc="upper left")
        _style(axes)
    rows[-1].set_xlabel("cosine similarity", color=DARK_INK, fontsize=9)
    return plotting.render(figure)


def nearest_cosines(
    voices: Embeddings, speakers: Float[np.ndarray, "S E"], among_them: bool = False
) -> Float[np.ndarray, " M"]:
    """Cosine of each voice to the nearest speaker; where the voices are `among_them`, to the nearest other one.

    Empty where there is no such speaker.
    """
    rank = 2 if among_them else 1
    if len(speakers) < rank:
        return np.zeros(0, np.float32)
    # Rounding must not move a copy, whose cosine is 1, out of the histogram.
    return np.clip(np.partition(voices @ speakers.T, -rank, axis=1)[:, -rank], 0, 1)


def _by_sex(table: SpeakerTable) -> Voices:
    return {sex: table.embeddings[np.asarray(table.sexes) == sex].astype(np.float32) for sex in SEXES}


def _principal_axes(points: Embeddings) -> tuple[Float[np.ndarray, " E"], Float[np.ndarray, "E 2"], np.ndarray]:
    """Mean, the two directions of largest variance, and their shares of it."""
    mean = points.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(points - mean, rowvar=False, bias=True))
    return mean, directions[:, :-3:-1], variances[:-3:-1] / max(float(variances.sum()), 1e-12)


def _thin(voices: Embeddings) -> Embeddings:
    """At most `MAX_DOTS` of them, evenly chosen."""
    return voices[:: -(-len(voices) // MAX_DOTS) or 1]


def _dots(axes, voices: Embeddings, mean: np.ndarray, directions: np.ndarray, label: str, **style) -> None:
    if len(voices):
        x, y = ((voices - mean) @ directions).T
        axes.scatter(x, y, label=f"{label} ({len(voices)})", **style)


def _style(axes) -> None:
    axes.tick_params(colors=DARK_INK, labelsize=8)
    axes.grid(color=DARK_INK, alpha=0.12, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
