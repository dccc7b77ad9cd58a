"""What the sample loggers of all systems share."""

from __future__ import annotations

import abc
import functools
from collections.abc import Iterator, Mapping
from typing import Any

from evc_jax.audio.config import AudioConfig
from evc_jax.data.dataset import audio_config
from evc_jax.models.network import Network
from evc_jax.pretrained.bundle import build_network
from evc_jax.training.config import TrainConfig
from evc_jax.training.samples.summaries import Summary


class SampleLogger(abc.ABC):
    """Makes pictures and sounds with the parameters of a system, on this process alone."""

    def __init__(self, config: TrainConfig, settings: Mapping[str, Any]):
        """`settings` are those of the system's network."""
        self._system, self._data, self._settings = config.system, config.data, settings
        self._recordings_shown = False

    @abc.abstractmethod
    def __call__(self, inference_params: Mapping[str, Any]) -> Iterator[Summary]:
        """Summaries made with these parameters.

        Data is read and programs are compiled at the first call; what never changes is shown then only.

        Args:
          inference_params: per network its parameters, host arrays, as the system exports them.
        """

    @functools.cached_property
    def _built(self) -> tuple[Network, Any]:
        return build_network(self._system, self._settings)

    @property
    def _network(self) -> Network:
        return self._built[0]

    @property
    def _model(self) -> Any:
        return self._built[1]

    @functools.cached_property
    def _audio(self) -> AudioConfig:
        return audio_config(self._data.data_dir, self._data.datasets)
