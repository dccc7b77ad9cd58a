"""The prosody network: the melody of a recording as it is, and as each emotion changes it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evc_jax.audio.chunking import WINDOW_FRAMES
from evc_jax.audio.plotting import Panel, picture_of_panels
from evc_jax.data.pipeline import pad
from evc_jax.features import prosody
from evc_jax.features.f0_codes import SEMITONES_PER_NEPER
from evc_jax.features.prosody import CEPSTRA
from evc_jax.training.samples.sample_logger import SampleLogger, Summary, picture
from evc_jax.training.samples.utterances import Utterance, choose


class ProsodySampleLogger(SampleLogger):
    """Mel-spectrogram and F0 with every emotion, at the recording's own timing."""

    def _summaries(self, params: Any) -> Iterator[Summary]:
        for utterance in self._utterances:
            measured = prosody.measure(utterance.mel, utterance.f0_hz, 1.0, self._audio)
            track, summary = prosody.network_inputs(measured, prosody.reference_of(measured))
            # A network that diverged must not stop the training.
            changes = np.nan_to_num(np.asarray(self._run(params, pad(track, WINDOW_FRAMES), summary)))
            panels = [Panel("recording", utterance.mel, utterance.f0_hz)]
            for name, change in zip(self._config.options["emotions"], changes, strict=True):
                panels.append(self._panel(name, utterance, change[: len(track)]))
            yield picture(f"{utterance.tag}/emotions", picture_of_panels(panels, self._audio, utterance.title))

    def _panel(self, name: str, utterance: Utterance, change: Float[np.ndarray, "T O"]) -> Panel:
        filter_db = prosody.filter_of(change[:, 1 : 1 + CEPSTRA], utterance.mel.shape[1])
        mel = np.clip(utterance.mel + filter_db / self._audio.range_db, 0, 1)
        f0_hz = utterance.f0_hz * np.exp(np.clip(change[:, 0] / SEMITONES_PER_NEPER, -1, 1))
        return Panel(name, mel, f0_hz.astype(np.float32), utterance.f0_hz)

    @functools.cached_property
    def _utterances(self) -> tuple[Utterance, ...]:
        return choose(self._data, WINDOW_FRAMES)

    def _trace(self, params: Any, *inputs: Array) -> Float[Array, "K T O"]:
        """The changes towards every emotion."""
        track, summary = inputs
        emotions = jnp.eye(self._model.emotions)
        repeated = (jnp.broadcast_to(each, (len(emotions), *each.shape)) for each in (track, summary))
        return self._network.apply(params, *repeated, emotions)
