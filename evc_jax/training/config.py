"""What a training run is made of. `configs/NAME.py` fills these; unknown keys and wrong types are errors."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ml_collections

from evc_jax.config import from_mapping, to_mapping
from evc_jax.errors import ConfigError

SYSTEMS = ("speechsplit", "f0_converter", "voicegan", "codegan", "waveglow")
VARIANTS = ("full", "small", "tiny")


@dataclass(frozen=True)
class DataConfig:
    """Which prepared datasets to train on.

    Attributes:
      data_dir: the folder that `evc prepare` wrote into; a cloud path works too.
      datasets: names of datasets in it, e.g. ("ravdess", "emodb").
      read_threads: threads that read and crop ahead of the training step, per process.
    """

    data_dir: str = "datasets"
    datasets: tuple[str, ...] = ()
    read_threads: int = 4

    def __post_init__(self):
        # The command line hands "a,b" over as one name.
        names = tuple(name for entry in self.datasets for name in entry.split(",") if name)
        object.__setattr__(self, "datasets", names)
        if not names:
            raise ConfigError("config.data.datasets is empty; name at least one dataset that `evc prepare` wrote.")


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam. The rate is constant, or falls linearly to zero from `decay_from_step` to the last step."""

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.999
    warmup_steps: int = 0
    decay_from_step: int | None = None
    clip_norm: float | None = None


@dataclass(frozen=True)
class TrainConfig:
    """One training run of one system.

    Attributes:
      system: one of `SYSTEMS`.
      model: settings of the system's networks (the fields of its config dataclass in `evc_jax.models`).
      options: settings of the system's loss and data (the fields of its `Options` dataclass).
      batch_size: over all devices of all hosts; their number must divide it.
      steps: optimiser steps; for a GAN one step is `critic_steps` of the critic and one of the generator.
      validation_batches: at most this many batches of the validation split per validation.
      keep_checkpoints: the last N are kept.
    """

    system: str
    model: Mapping[str, Any]
    options: Mapping[str, Any]
    data: DataConfig
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_size: int = 16
    steps: int = 1000
    seed: int = 0
    log_every: int = 100
    validate_every: int = 1000
    validation_batches: int = 20
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3

    def __post_init__(self):
        if self.system not in SYSTEMS:
            raise ConfigError(f"config.system is {self.system!r}; expected one of {', '.join(SYSTEMS)}.")
        for key in ("batch_size", "steps", "log_every", "validate_every", "checkpoint_every", "keep_checkpoints"):
            if getattr(self, key) < 1:
                raise ConfigError(f"config.{key} is {getattr(self, key)}; expected at least 1.")


def config_dict(system: str, model: Any, options: Any, **settings: Any) -> ml_collections.ConfigDict:
    """A complete ConfigDict for the launcher, every key present, from the dataclasses that will check it."""
    config = TrainConfig(system=system, model=to_mapping(model), options=to_mapping(options), **settings)
    return ml_collections.ConfigDict(_keep_tuples(dataclasses.asdict(config)))


def parse(config: ml_collections.ConfigDict) -> TrainConfig:
    """The checked form of what the launcher was given.

    Raises:
      ConfigError: an unknown key, a wrong type or an impossible value.
    """
    return from_mapping(TrainConfig, config.to_dict() if hasattr(config, "to_dict") else config)


def pick(variant: str, **choices: Any) -> Any:
    """The choice of a config's variant.

    Raises:
      ConfigError: no such variant.
    """
    if variant not in choices:
        raise ConfigError(f"This config has no variant {variant!r}; it has: {', '.join(choices)}.")
    return choices[variant]


def _keep_tuples(value: Any) -> Any:
    # ConfigDict overrides sequences from the command line only when they are tuples.
    if isinstance(value, Mapping):
        return {key: _keep_tuples(item) for key, item in value.items()}
    return tuple(_keep_tuples(item) for item in value) if isinstance(value, list | tuple) else value
