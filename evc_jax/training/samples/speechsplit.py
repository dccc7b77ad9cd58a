"""SpeechSplit at work: the reconstruction, and what is left of it when one aspect of speech is removed.

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

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.plotting import Panel, picture_of_panels
from evc_jax.data.dataset import audio_config
from evc_jax.features.f0_codes import quantize_f0
from evc_jax.models.network import Network
from evc_jax.models.speechsplit.config import SpeechSplitConfig
from evc_jax.models.speechsplit.network import NO_F0
from evc_jax.pretrained.bundle import build_network
from evc_jax.training.config import TrainConfig
from evc_jax.training.samples.summaries import Summary, sound
from evc_jax.training.samples.utterances import Resynthesis, Utterance, batch, choose, listen

VARIANTS = ("reconstruction", "without-rhythm", "without-content", "without-pitch", "without-timbre")


class SpeechSplitSampleLogger:
    """See `sample_logger.SampleLogger`."""

    def __init__(self, config: TrainConfig, networks: Mapping[str, Mapping[str, Any]]):
        self._data = config.data
        self._settings = networks["speechsplit"]
        self._rebuild = jax.jit(self._trace)
        self._recordings_shown = False

    def __call__(self, inference_params: Mapping[str, Any]) -> Iterator[Summary]:
        if not self._utterances:
            return
        inputs = batch(self._utterances, self._model.resampling.padded_frames)
        rebuilt = np.asarray(self._rebuild(inference_params["speechsplit"], inputs.mel, inputs.f0, inputs.embedding))
        for utterance, copy, mels in zip(self._utterances, self._copies, rebuilt, strict=True):
            frames = len(utterance.mel)
            takes = dict(zip(VARIANTS, listen(list(mels[:, :frames]), self._audio), strict=True))
            yield self._picture(utterance, takes)
            if not self._recordings_shown:
                yield sound(f"{utterance.tag}/recording", utterance.audio, self._audio.sample_rate_hz)
            for name, take in {"griffin-lim": copy, **takes}.items():
                yield sound(f"{utterance.tag}/{name}", take.audio, self._audio.sample_rate_hz)
        self._recordings_shown = True

    @functools.cached_property
    def _utterances(self) -> tuple[Utterance, ...]:
        return choose(self._data, self._model.resampling.padded_frames)

    @functools.cached_property
    def _built(self) -> tuple[Network, SpeechSplitConfig]:
        return build_network("speechsplit", self._settings)

    @property
    def _model(self) -> SpeechSplitConfig:
        return self._built[1]

    @functools.cached_property
    def _audio(self) -> AudioConfig:
        return audio_config(self._data.data_dir, self._data.datasets)

    @functools.cached_property
    def _copies(self) -> list[Resynthesis]:
        """What the way through Griffin-Lim alone does to the recordings."""
        return listen([utterance.mel for utterance in self._utterances], self._audio)

    def _picture(self, utterance: Utterance, takes: Mapping[str, Resynthesis]) -> Summary:
        panels = [Panel("original", utterance.mel, utterance.f0_hz)]
        for name, take in takes.items():
            panels.append(Panel(name.replace("-", " "), take.mel, take.f0_hz, reference_f0_hz=utterance.f0_hz))
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
        rebuilt = self._built[0].apply(params, **stacked)
        return rebuilt.reshape(len(variants), *mel.shape).swapaxes(0, 1)
