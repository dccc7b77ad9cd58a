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
from evc_jax.audio.plotting import Picture
from evc_jax.conversion.requested_voice import SEXES
from evc_jax.data.dataset import SpeakerTable, open_speakers
from evc_jax.errors import DataError
from evc_jax.training.samples.sample_logger import SampleLogger, Summary, picture

VOICES = 100  # generated of each sex
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
        yield picture("voices/map", draw_map(*self._real, made))
        yield picture("voices/nearest", draw_nearest(*self._real, made))

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
    speakers = np.concatenate([*training.values()])
    mean = speakers.mean(axis=0)
    directions = np.linalg.eigh(np.cov(speakers - mean, rowvar=False, bias=True))[1][:, :-3:-1]
    figure = plotting.new_figure(9.0, 4.8, "Voices on the principal axes of the training's speakers")
    for axes, sex in zip(figure.subplots(1, len(SEXES), sharex=True, sharey=True), SEXES, strict=True):
        groups = (("training", training, ".", _TRAINING), ("validation", held_out, "x", _HELD_OUT))
        for label, voices, marker, color in (*groups, ("generated", made, "+", _COLORS[sex])):
            x, y = ((voices[sex] - mean) @ directions).T
            axes.scatter(x, y, marker=marker, color=color, label=f"{label} ({len(x)})")
        axes.set_title(sex, loc="left")
        axes.legend()
    return plotting.render(figure)


def draw_nearest(training: Voices, held_out: Voices, made: Voices) -> Picture:
    """How similar voices are to the nearest speaker of the training: generated ones, and speakers that were held out.

    Generated voices far to the right of the others are copies, far to the left of them no human voices.
    """
    speakers = np.concatenate([*training.values()])
    figure = plotting.new_figure(9.0, 5.1, "Cosine similarity to the nearest training speaker")
    for axes, sex in zip(figure.subplots(len(SEXES), 1, sharex=True), SEXES, strict=True):
        groups = {
            "training, to the nearest other": (nearest_cosines(training[sex], speakers, among_them=True), _TRAINING),
            "validation": (nearest_cosines(held_out[sex], speakers), _HELD_OUT),
            "generated": (nearest_cosines(made[sex], speakers), _COLORS[sex]),
        }
        for label, (cosines, color) in groups.items():
            if len(cosines):
                label = f"{label} ({len(cosines)}): median {np.median(cosines):.2f}"
                weights = np.full(len(cosines), 100 / len(cosines))
                bins = np.linspace(0, 1, 51)
                axes.hist(cosines, bins, weights=weights, histtype="step", linewidth=2, color=color, label=label)
        axes.set_title(sex, loc="left")
        axes.set_ylabel("voices in %")
        axes.legend(loc="upper left")
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
