"""SpeechSplit: the reconstruction, and what is left of it when one aspect of speech is removed.

Source: arXiv 2004.11284, experiments on removing a component. To remove rhythm, content or pitch the input of its
encoder is zero, as in the plots of the reference's `solver.py`; to remove timbre the speaker embedding is.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evc_jax.audio.plotting import Panel, picture_of_panels
from evc_jax.features.f0_codes import quantize_f0
from evc_jax.models.speechsplit.network import NO_F0
from evc_jax.training.config import TrainConfig
from evc_jax.training.samples.sample_logger import SampleLogger
from evc_jax.training.samples.summaries import Summary, sound
from evc_jax.training.samples.utterances import Resynthesis, Utterance, batch, choose, resynthesize

VARIANTS = ("reconstruction", "without-rhythm", "without-content", "without-pitch", "without-timbre")


class SpeechSplitSampleLogger(SampleLogger):
    """The reconstruction and the removals of `VARIANTS`."""

    def __init__(self, config: TrainConfig, settings: Mapping[str, Any]):
        super().__init__(config, settings)
        self._rebuild = jax.jit(self._trace)

    def __call__(self, inference_params: Mapping[str, Any]) -> Iterator[Summary]:
        if not self._utterances:
            return
        inputs = batch(self._utterances, self._model.resampling.padded_frames)
        rebuilt = np.asarray(self._rebuild(inference_params["speechsplit"], inputs.mel, inputs.f0, inputs.embedding))
        for utterance, copy, mels in zip(self._utterances, self._copies, rebuilt, strict=True):
            frames = len(utterance.mel)
            resyntheses = dict(zip(VARIANTS, resynthesize(list(mels[:, :frames]), self._audio), strict=True))
            yield self._picture(utterance, resyntheses)
            if not self._recordings_shown:
                yield sound(f"{utterance.tag}/recording", utterance.audio, self._audio.sample_rate_hz)
            for name, resynthesis in {"griffin-lim": copy, **resyntheses}.items():
                yield sound(f"{utterance.tag}/{name}", resynthesis.audio, self._audio.sample_rate_hz)
        self._recordings_shown = True

    @functools.cached_property
    def _utterances(self) -> tuple[Utterance, ...]:
        return choose(self._data, self._model.resampling.padded_frames)

    @functools.cached_property
    def _copies(self) -> list[Resynthesis]:
        """The recordings through Griffin-Lim alone."""
        return resynthesize([utterance.mel for utterance in self._utterances], self._audio)

    def _picture(self, utterance: Utterance, resyntheses: Mapping[str, Resynthesis]) -> Summary:
        panels = [Panel("original", utterance.mel, utterance.f0_hz)]
        for name, resynthesis in resyntheses.items():
            panels.append(Panel(name.replace("-", " "), resynthesis.mel, resynthesis.f0_hz, utterance.f0_hz))
        title = f"{utterance.title}    (line: F0, dashed: the original's)"
        return Summary(f"{utterance.tag}/aspects", picture_of_panels(panels, self._audio, title))

    def _trace(
        self, params: Any, mel: Float[Array, "B T F"], f0: Float[Array, "B T"], embedding: Float[Array, "B E"]
    ) -> Float[Array, "B V T F"]:
        """The mel of each of `VARIANTS`."""
        classes = quantize_f0(f0, self._model.f0_classes)
        inputs = {"mel": mel, "f0": classes, "speaker_embedding": embedding, "rhythm_mel": mel}
        removed = {
            "without-rhythm": {"rhythm_mel": jnp.zeros_like(mel)},
            "without-content": {"mel": jnp.zeros_like(mel)},
            "without-pitch": {"f0": jnp.full_like(classes, NO_F0)},
            "without-timbre": {"speaker_embedding": jnp.zeros_like(embedding)},
        }
        variants = [{**inputs, **removed.get(name, {})} for name in VARIANTS]
        stacked = jax.tree.map(lambda *parts: jnp.concatenate(parts), *variants)
        rebuilt = self._network.apply(params, **stacked)
        return rebuilt.reshape(len(variants), *mel.shape).swapaxes(0, 1)
