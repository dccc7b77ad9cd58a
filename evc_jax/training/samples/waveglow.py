"""WaveGlow: recordings from their own mel-spectrograms, beside themselves and Griffin-Lim."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.audio.mel import log_mel
from evc_jax.audio.plotting import Panel
from evc_jax.evaluation.metrics import mel_l1
from evc_jax.features import pitch
from evc_jax.pretrained.bundle import TrainedNetwork
from evc_jax.training.samples.sample_logger import SampleLogger, Summary
from evc_jax.training.samples.utterances import Resynthesis, Utterance, choose
from evc_jax.vocoders.waveglow import WaveGlowVocoder

# One of `vocoder.CHUNK_FRAMES`, 2 s at the default settings: a CPU needs seconds for it at the reference's sizes.
SEGMENT_FRAMES = 128


class WaveGlowSampleLogger(SampleLogger):
    """The recording, WaveGlow and Griffin-Lim."""

    def _summaries(self, params: Any) -> Iterator[Summary]:
        if not self._utterances:
            return
        vocoder = WaveGlowVocoder(TrainedNetwork(self._network, params), self._audio)
        for utterance, copy in zip(self._utterances, self._copies, strict=True):
            synthesised = vocoder(utterance.mel, len(utterance.audio), seed=0)
            # A network that diverged must not stop the training.
            synthesised = np.clip(np.nan_to_num(synthesised), -1, 1)
            compared = dict(
                self._compare(utterance, name, samples)
                for name, samples in (("WaveGlow", synthesised), ("Griffin-Lim", copy.audio))
            )
            yield self._mels(utterance, "mel", Panel("recording", utterance.mel, utterance.f0_hz), compared)
            yield from self._sounds(utterance, {"griffin-lim": copy.audio, "waveglow": synthesised})

    @functools.cached_property
    def _utterances(self) -> tuple[Utterance, ...]:
        return choose(self._data, SEGMENT_FRAMES)

    def _compare(self, utterance: Utterance, name: str, audio: Float[np.ndarray, " S"]) -> tuple[str, Resynthesis]:
        """A sound of the utterance's mel, and a title that contains its distance from the recording."""
        error_db = self._audio.range_db * mel_l1(utterance.audio, audio, self._audio)
        mel = np.clip(log_mel(audio, self._audio), 0, 1)
        resynthesis = Resynthesis(mel, audio, pitch.estimate_f0(audio, self._audio))
        return f"{name}: {error_db:.1f} dB from the recording on average", resynthesis
