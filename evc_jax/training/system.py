"""What the training loop needs of a system, and which systems there are."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import grain
import jax
import numpy as np
from etils import epath

from evc_jax.config import from_mapping
from evc_jax.errors import ConfigError
from evc_jax.pretrained.workdir import saved_steps
from evc_jax.training.config import TrainConfig, inference_config, system_type

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]


class System(abc.ABC):
    """A configuration, its data, its loss and its step. Steps are pure per-device functions.

    Attributes:
      config: of the training.
      options: settings of the loss and the data, of the class's `options_type`.
      model: settings of the network that inference needs, of the class's `config_type`.
    """

    config_type: ClassVar[type]
    options_type: ClassVar[type]
    options: Any
    model: Any

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        """Reads the options; `workdir` is where the system may keep what it computes once.

        Raises:
          ConfigError: an unknown key, a wrong type or an impossible value.
        """
        self.config, self._workdir = config, workdir
        self.options = from_mapping(self.options_type, config.options, "config.options")

    @abc.abstractmethod
    def init(self, key: jax.Array) -> Any:
        """The first state; a pytree with a `step` counter."""

    @property
    def origin(self) -> str:
        """`config.init_from` where the training has not begun: one that goes on does not read it again."""
        return "" if saved_steps(self._workdir) else self.config.init_from

    @abc.abstractmethod
    def step(self, state: Any, batch: Batch, key: jax.Array) -> tuple[Any, Metrics]:
        """One training step on this device's part of the batch; gradients are averaged over devices inside."""

    @abc.abstractmethod
    def evaluate(self, state: Any, batch: Batch, key: jax.Array) -> Metrics:
        """Validation metrics, each a mean over the batch's samples that one batch after the other can add to."""

    @abc.abstractmethod
    def data(self, split: str, batch_size: int, first_sample: int = 0) -> grain.IterDataset:
        """Batches of this process: endless for "train", from a position in it; one pass for "validation"."""

    @abc.abstractmethod
    def sample_names(self, records: np.ndarray) -> list[str]:
        """Names of the training data's records, for error messages."""

    @abc.abstractmethod
    def evaluation_params(self, state: Any) -> Any:
        """The weights to validate and to use: their moving average where there is one."""

    def networks(self) -> dict[str, dict[str, Any]]:
        """Settings of the networks that inference needs, by name."""
        return {self.config.system: inference_config(self.model)}

    def inference_params(self, state: Any) -> dict[str, Any]:
        """Parameters of those networks."""
        return {self.config.system: self.evaluation_params(state)}

    def reading_options(self, split: str, first_sample: int = 0) -> dict[str, Any]:
        """The options of `pipeline.build` that do not depend on the system.

        Args:
          split: "train" is read endlessly, from `first_sample` on; another one once, in order.
          first_sample: how many samples all processes together have taken before.
        """
        return {
            "seed": self.config.seed,
            "process_index": jax.process_index(),
            "process_count": jax.process_count(),
            "train": split == "train",
            "read_threads": self.config.data.read_threads,
            "first_sample": first_sample,
            "limit": self.config.validation_samples,
        }


def check_emotions(emotions: Sequence[str]) -> None:
    """Raises ConfigError unless they are empty, or at least two different ones."""
    if len(emotions) == 1 or len(set(emotions)) < len(emotions):
        raise ConfigError(
            f"config.options.emotions is {','.join(emotions)}; name at least two different ones, or none for those of "
            "the data."
        )


def build_system(config: TrainConfig, workdir: epath.Path) -> System:
    """The system that the configuration names; `workdir` is where it may keep what it computes once."""
    return system_type(config.system)(config, workdir)
