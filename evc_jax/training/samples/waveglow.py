"""WaveGlow: recordings from their own mel-spectrograms, beside themselves and Griffin-Lim."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.audio.mel import log_mel
from evc_jax.audio.plotting import Panel, picture_of_panels
from evc_jax.evaluation.metrics import mel_l1
from evc_jax.features import pitch
from evc_jax.pretrained.bundle import TrainedNetwork
from evc_jax.training.samples.sample_logger import SampleLogger
from evc_jax.training.samples.summaries import Summary, sound
from evc_jax.training.samples.utterances import Utterance, choose, resynthesize
from evc_jax.vocoders.waveglow import WaveGlowVocoder

# One of `vocoder.CHUNK_FRAMES`, 2 s at the default settings: a CPU needs seconds for it at the reference's sizes.
SEGMENT_FRAMES = 128


class WaveGlowSampleLogger(SampleLogger):
    """The recording, WaveGlow and Griffin-Lim."""

    def __call__(self, inference_params: Mapping[str, Any]) -> Iterator[Summary]:
        if not self._utterances:
            return
        rate_hz = self._audio.sample_rate_hz
        vocoder = WaveGlowVocoder(TrainedNetwork(*self._built, inference_params["waveglow"]))
        for utterance, griffin_lim in zip(self._utterances, self._griffin_lim, strict=True):
            synthesised = vocoder(utterance.mel, len(utterance.audio), seed=0)
            # A network that diverged must not stop the training.
            synthesised = np.clip(np.nan_to_num(synthesised), -1, 1)
            yield self._picture(utterance, synthesised, griffin_lim)
            if not self._recordings_shown:
                yield sound(f"{utterance.tag}/recording", utterance.audio, rate_hz)
            yield sound(f"{utterance.tag}/griffin-lim", griffin_lim, rate_hz)
            yield sound(f"{utterance.tag}/waveglow", synthesised, rate_hz)
        self._recordings_shown = True

    @functools.cached_property
    def _utterances(self) -> tuple[Utterance, ...]:
        return choose(self._data, SEGMENT_FRAMES)

    @functools.cached_property
    def _griffin_lim(self) -> list[Float[np.ndarray, " S"]]:
        return [copy.audio for copy in resynthesize([utterance.mel for utterance in self._utterances], self._audio)]

    def _picture(
        self, utterance: Utterance, waveglow: Float[np.ndarray, " S"], griffin_lim: Float[np.ndarray, " S"]
    ) -> Summary:
        panels = [Panel("recording", utterance.mel, utterance.f0_hz)]
        for name, samples in (("WaveGlow", waveglow), ("Griffin-Lim", griffin_lim)):
            mel = np.clip(log_mel(samples, self._audio), 0, 1)
            error_db = self._audio.range_db * mel_l1(utterance.audio, samples, self._audio)
            title = f"{name}: {error_db:.1f} dB from the recording on average"
            panels.append(Panel(title, mel, pitch.estimate_f0(samples, self._audio), utterance.f0_hz))
        title = f"{utterance.title}    (line: F0, dashed: the recording's)"
        return Summary(f"{utterance.tag}/mel", picture_of_panels(panels, self._audio, title))
