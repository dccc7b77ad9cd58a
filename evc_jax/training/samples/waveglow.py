"""WaveGlow at work: recordings from their own mel-spectrograms, beside themselves and Griffin-Lim."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import log_mel
from evc_jax.audio.plotting import Panel, picture_of_panels
from evc_jax.data.dataset import audio_config
from evc_jax.evaluation.metrics import mel_l1
from evc_jax.features import pitch
from evc_jax.models.network import Network
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.pretrained.bundle import TrainedNetwork, build_network
from evc_jax.training.config import TrainConfig
from evc_jax.training.samples.summaries import Summary, sound
from evc_jax.training.samples.utterances import Utterance, choose, listen
from evc_jax.vocoders.waveglow import WaveGlowVocoder

# One of `vocoder.CHUNK_FRAMES`, 2 s at the default settings: a CPU needs seconds for it at the reference's sizes.
SEGMENT_FRAMES = 128


class WaveGlowSampleLogger:
    """See `sample_logger.SampleLogger`."""

    def __init__(self, config: TrainConfig, networks: Mapping[str, Mapping[str, Any]]):
        self._data = config.data
        self._settings = networks["waveglow"]
        self._recordings_shown = False

    def __call__(self, inference_params: Mapping[str, Any]) -> Iterator[Summary]:
        if not self._utterances:
            return
        rate_hz = self._audio.sample_rate_hz
        vocoder = WaveGlowVocoder(TrainedNetwork(*self._built, inference_params["waveglow"]))
        for utterance, griffin_lim in zip(self._utterances, self._griffin_lim, strict=True):
            spoken = vocoder(utterance.mel, len(utterance.audio), seed=0)
            # One that diverged is heard as its player would have it, and must not stop the training.
            spoken = np.clip(np.nan_to_num(spoken), -1, 1)
            yield self._picture(utterance, spoken, griffin_lim)
            if not self._recordings_shown:
                yield sound(f"{utterance.tag}/recording", utterance.audio, rate_hz)
            yield sound(f"{utterance.tag}/griffin-lim", griffin_lim, rate_hz)
            yield sound(f"{utterance.tag}/waveglow", spoken, rate_hz)
        self._recordings_shown = True

    @functools.cached_property
    def _utterances(self) -> tuple[Utterance, ...]:
        return choose(self._data, SEGMENT_FRAMES)

    @functools.cached_property
    def _built(self) -> tuple[Network, WaveGlowConfig]:
        return build_network("waveglow", self._settings)

    @functools.cached_property
    def _audio(self) -> AudioConfig:
        return audio_config(self._data.data_dir, self._data.datasets)

    @functools.cached_property
    def _griffin_lim(self) -> list[Float[np.ndarray, " S"]]:
        return [take.audio for take in listen([utterance.mel for utterance in self._utterances], self._audio)]

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
