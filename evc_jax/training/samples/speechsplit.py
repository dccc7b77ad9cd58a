"""SpeechSplit: the reconstruction, and what is left of it when one aspect of speech is removed.

Source: arXiv 2004.11284, experiments on removing a component. To remove rhythm, content or pitch the input of its
encoder is zero, as in the plots of the reference's `solver.py`; to remove timbre the speaker embedding is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evc_jax.audio.plotting import Panel
from evc_jax.features.f0_codes import quantize_f0
from evc_jax.models.speechsplit.network import NO_F0
from evc_jax.training.samples.sample_logger import SampleLogger, Summary
from evc_jax.training.samples.utterances import batch

VARIANTS = ("reconstruction", "without-rhythm", "without-content", "without-pitch", "without-timbre")


class SpeechSplitSampleLogger(SampleLogger):
    """The reconstruction and the removals of `VARIANTS`."""

    def _summaries(self, params: Any) -> Iterator[Summary]:
        if not self._utterances:
            return
        rebuilt = np.asarray(self._run(params, *batch(self._utterances, self._model.resampling.padded_frames)))
        for utterance, copy, mels in zip(self._utterances, self._copies, rebuilt, strict=True):
            resyntheses = self._resyntheses(utterance, VARIANTS, mels)
            titled = {name.replace("-", " "): made for name, made in resyntheses.items()}
            yield self._mels(utterance, "aspects", Panel("original", utterance.mel, utterance.f0_hz), titled)
            made = {"griffin-lim": copy, **resyntheses}
            yield from self._sounds(utterance, {name: resynthesis.audio for name, resynthesis in made.items()})

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
