"""The timbre converter: mel-spectrograms with the voice of another utterance's speaker."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from evc_jax.audio.plotting import Panel, picture_of_panels
from evc_jax.data.pipeline import pad
from evc_jax.training.samples.sample_logger import SampleLogger, Summary, picture
from evc_jax.training.samples.utterances import Utterance, choose

FRAMES = 192


class TimbreConverterSampleLogger(SampleLogger):
    """The recording's mel-spectrogram as it is, and as the network changes it."""

    def _summaries(self, params: Any) -> Iterator[Summary]:
        utterances = self._utterances
        if not utterances:
            return
        mel = np.stack([pad(utterance.mel, FRAMES) for utterance in utterances])
        source = np.stack([utterance.embedding for utterance in utterances])
        registers = np.array([utterance.statistics.mean for utterance in utterances], np.float32)
        shift = np.roll(registers, 1) - registers
        changes_db = np.asarray(self._run(params, mel, source, np.roll(source, 1, axis=0), shift))
        for number, utterance in enumerate(utterances):
            # A network that diverged must not stop the training.
            change = np.nan_to_num(changes_db[number, : len(utterance.mel)]) / self._audio.range_db
            changed = np.clip(utterance.mel + change, 0, 1)
            wanted_hz = utterance.f0_hz * np.exp(shift[number])
            panels = [
                Panel("recording", utterance.mel, utterance.f0_hz),
                Panel(f"with the voice of {utterances[number - 1].title}", changed, wanted_hz, utterance.f0_hz),
            ]
            yield picture(f"{utterance.tag}/mel", picture_of_panels(panels, self._audio, utterance.title))

    @functools.cached_property
    def _utterances(self) -> tuple[Utterance, ...]:
        return choose(self._data, FRAMES)

    def _trace(self, params: Any, *inputs: Array) -> Float[Array, "B T F"]:
        return self._network.apply(params, *inputs).db
