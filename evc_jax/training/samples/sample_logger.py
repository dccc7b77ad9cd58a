"""What the sample loggers of all systems share: pictures and sounds for TensorBoard, of the same few utterances."""

from __future__ import annotations

import abc
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.plotting import Panel, Picture, picture_of_panels
from evc_jax.data.dataset import audio_config
from evc_jax.models.network import Network
from evc_jax.pretrained.description import build_network
from evc_jax.training.config import TrainConfig
from evc_jax.training.metrics_writer import tensorboard
from evc_jax.training.samples.utterances import Resynthesis, Utterance, choose, resynthesize

Summary = Any  # a protobuf message that TensorBoard reads


def picture(tag: str, pixels: Picture) -> Summary:
    """A picture; a tag is either that of pictures or that of sounds, never of both."""
    return tensorboard().summary.image(tag, pixels, dataformats="HWC")


def sound(tag: str, audio: Float[np.ndarray, " S"], rate_hz: int) -> Summary:
    """A sound; peaks above 1 are scaled down, never wrapped or cut."""
    return tensorboard().summary.audio(tag, (audio / np.abs(audio).max(initial=1.0)).astype(np.float32), rate_hz)


class SampleLogger(abc.ABC):
    """Makes pictures and sounds with the parameters of a system, on this process alone.

    Data is read and programs are compiled at the first call; what never changes is shown then only.
    """

    def __init__(self, config: TrainConfig, settings: Mapping[str, Any]):
        """`settings` are those of the system's network."""
        self._config, self._data, self._settings = config, config.data, settings
        self._run = jax.jit(self._trace)
        self._recordings_shown = False

    def __call__(self, inference_params: Mapping[str, Any]) -> Iterator[Summary]:
        """Summaries made with these parameters: per network host arrays, as the system exports them."""
        yield from self._summaries(inference_params[self._config.system])
        self._recordings_shown = True

    @abc.abstractmethod
    def _summaries(self, params: Any) -> Iterator[Summary]:
        """The summaries, from the parameters of the system's network."""

    def _trace(self, params: Any, *inputs: Any) -> Any:
        """What is compiled as `_run`."""
        raise NotImplementedError

    @functools.cached_property
    def _utterances(self) -> tuple[Utterance, ...]:
        """What is shown, where a system shows utterances: as long as those of its training."""
        return choose(self._data, self._model.resampling.padded_frames)

    @functools.cached_property
    def _copies(self) -> list[Resynthesis]:
        """The utterances through Griffin-Lim alone."""
        return resynthesize([utterance.mel for utterance in self._utterances], self._audio)

    @functools.cached_property
    def _network(self) -> Network:
        return build_network(self._config.system, self._settings)

    @property
    def _model(self) -> Any:
        return self._network.config

    @functools.cached_property
    def _audio(self) -> AudioConfig:
        return audio_config(self._data.data_dir, self._data.datasets)

    def _resyntheses(
        self, utterance: Utterance, names: Sequence[str], mels: Float[np.ndarray, "V T F"]
    ) -> dict[str, Resynthesis]:
        """The variants of an utterance by name, without what lies behind its end."""
        cut = list(mels[:, : len(utterance.mel)])
        return dict(zip(names, resynthesize(cut, self._audio), strict=True))

    def _mels(
        self, utterance: Utterance, kind: str, reference: Panel, resyntheses: Mapping[str, Resynthesis]
    ) -> Summary:
        """Mel and F0 of the reference and, below it, of resyntheses by their titles."""
        panels = [Panel(title, made.mel, made.f0_hz, reference.f0_hz) for title, made in resyntheses.items()]
        title = f"{utterance.title}    (line: F0, dashed: {reference.title})"
        return picture(f"{utterance.tag}/{kind}", picture_of_panels([reference, *panels], self._audio, title))

    def _sounds(self, utterance: Utterance, sounds: Mapping[str, np.ndarray]) -> Iterator[Summary]:
        """Sounds by name, the first time after the recording's own."""
        recording = {} if self._recordings_shown else {"recording": utterance.audio}
        for name, audio in {**recording, **sounds}.items():
            yield sound(f"{utterance.tag}/{name}", audio, self._audio.sample_rate_hz)
