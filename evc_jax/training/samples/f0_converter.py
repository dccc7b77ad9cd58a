"""The F0 converter: contours put back into time, and one utterance's pitch laid on another's rhythm."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from evc_jax.audio.plotting import Curve, CurvePanel, picture_of_panels
from evc_jax.features.f0_codes import SMALLEST_VOICED, denormalize_f0, quantize_f0
from evc_jax.models.speechsplit.random_resampling import draw_resampling, random_resample
from evc_jax.training.samples.sample_logger import SampleLogger, Summary, picture
from evc_jax.training.samples.utterances import Utterance, batch, choose

_TRUE, _GIVEN, _PREDICTED = "#24292f", "#0969da", "#e16f24"


class F0ConverterSampleLogger(SampleLogger):
    """The contours true, given and predicted."""

    def _summaries(self, params: Any) -> Iterator[Summary]:
        utterances = self._utterances
        if not utterances:
            return
        mel, f0, _ = batch(utterances, self._model.resampling.padded_frames)
        length = np.asarray([len(utterance.mel) for utterance in utterances], np.int32)
        given, predicted = map(np.asarray, self._run(params, mel, f0, length))
        for number, utterance in enumerate(utterances):
            panels = self._panels(utterance, utterances[number - 1].title, given[number], predicted[number])
            yield picture(f"{utterance.tag}/f0", picture_of_panels(panels, self._audio, utterance.title))

    @functools.cached_property
    def _utterances(self) -> tuple[Utterance, ...]:
        # As long as the crops of the training: only so much is covered by the drawn resampling.
        return choose(self._data, self._model.resampling.max_length_frames)

    def _panels(
        self, utterance: Utterance, other: str, given: Int[np.ndarray, "3 T"], predicted: Int[np.ndarray, "3 T"]
    ) -> list[CurvePanel]:
        own = "its own pitch", "its own pitch, out of time as in training"
        true = Curve("true", utterance.f0_hz, _TRUE, width=3.5)
        panels = []
        tracks_hz = zip(self._hertz(given, utterance), self._hertz(predicted, utterance), strict=True)
        for title, (given_hz, guess_hz) in zip((*own, f"the pitch of {other}, on this rhythm"), tracks_hz, strict=True):
            curves = [Curve("given", given_hz, _GIVEN, "--", 1.2), Curve("predicted", guess_hz, _PREDICTED)]
            if title in own:
                title, curves = f"{title}: {_score(guess_hz, utterance)}", [true, *curves]
            panels.append(CurvePanel(title, utterance.mel, tuple(curves)))
        return panels

    def _hertz(self, classes: Int[np.ndarray, "3 T"], utterance: Utterance) -> Float[np.ndarray, "3 t"]:
        """F0 classes within the range of the utterance's speaker."""
        level = np.maximum((classes - 1) / (self._model.f0_classes - 2), SMALLEST_VOICED)
        f0_hz = denormalize_f0(np.where(classes > 0, level, 0).reshape(-1), utterance.statistics)
        return f0_hz.reshape(classes.shape)[:, : len(utterance.mel)]

    def _trace(
        self, params: Any, mel: Float[Array, "B T F"], f0: Float[Array, "B T"], length: Int[Array, " B"]
    ) -> tuple[Int[Array, "B 3 T"], Int[Array, "B 3 T"]]:
        """F0 classes given and predicted: of the utterance itself, of it out of time, of the one before it."""
        classes = self._model.f0_classes
        resampling = draw_resampling(jax.random.split(jax.random.key(0), len(mel)), self._model.resampling)
        stretched = random_resample(f0[..., None], length, resampling, self._model.resampling)[..., 0]
        given = quantize_f0(jnp.concatenate([f0, stretched, jnp.roll(f0, 1, axis=0)]), classes)
        rhythm = jnp.concatenate([mel, mel, mel])
        predicted = self._network.apply(params, rhythm, given).argmax(axis=-1)
        shape = (3, *f0.shape)
        return given.reshape(shape).swapaxes(0, 1), predicted.astype(jnp.int32).reshape(shape).swapaxes(0, 1)


def _score(predicted_hz: Float[np.ndarray, " T"], utterance: Utterance) -> str:
    """How well the utterance's own contour is met."""
    voiced, guessed = utterance.f0_hz > 0, predicted_hz > 0
    text = f"voicing {np.mean(voiced == guessed):.0%} right"
    both = voiced & guessed
    if not both.any():
        return text
    return f"{text}, off by {12 * np.abs(np.log2(predicted_hz[both] / utterance.f0_hz[both])).mean():.1f} semitones"
