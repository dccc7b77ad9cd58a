"""What a training run is made of. `configs/NAME.py` fills these; unknown keys and wrong types are errors."""

from __future__ import annotations

import ast
import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import ml_collections

from evc_jax.config import from_mapping, to_mapping
from evc_jax.errors import ConfigError

SYSTEMS = ("speechsplit", "f0_converter", "voicegan", "codegan", "waveglow")
COMPUTE_DTYPES = ("float32", "bfloat16", "float64")


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
      model: settings of the system's networks (the fields of its config dataclass in `evc_jax.models`, but `dtype`).
      options: settings of the system's loss and data (the fields of its `Options` dataclass).
      batch_size: of one micro-batch, over all devices of all hosts; their number must divide it.
      accumulate: micro-batches per step, one after the other; 4 is a batch four times as large in no more memory.
      compute_dtype: type of the arithmetic, one of `COMPUTE_DTYPES`; parameters, statistics, log-determinants and
        losses are float32 at least.
      ema_decay: of the moving average of the weights that validation and bundles use; 0 keeps none.
      steps: optimizer steps; for a GAN one step is `critic_steps` of the critic and one of the generator.
      validation_batches: at most this many batches of the validation split per validation.
      show_every: pictures and sound of validation utterances go to TensorBoard every so many steps; 0 is never.
      keep_checkpoints: the last N are kept, and the best.
      best_metric: the validation metric whose smallest value makes a checkpoint the best.
    """

    system: str
    model: Mapping[str, Any]
    options: Mapping[str, Any]
    data: DataConfig
    best_metric: str
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_size: int = 16
    accumulate: int = 1
    compute_dtype: str = "float32"
    ema_decay: float = 0.0
    steps: int = 1000
    seed: int = 0
    log_every: int = 100
    validate_every: int = 1000
    validation_batches: int = 20
    show_every: int = 0
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3

    def __post_init__(self):
        if self.system not in SYSTEMS:
            raise ConfigError(f"config.system is {self.system!r}; expected one of {', '.join(SYSTEMS)}.")
        if self.compute_dtype not in COMPUTE_DTYPES:
            raise ConfigError(f"config.compute_dtype is {self.compute_dtype!r}; expected float32 or bfloat16.")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"config.ema_decay is {self.ema_decay}; expected at least 0 and less than 1.")
        positive = "batch_size accumulate steps log_every validate_every checkpoint_every keep_checkpoints"
        for key in positive.split():
            if getattr(self, key) < 1:
                raise ConfigError(f"config.{key} is {getattr(self, key)}; expected at least 1.")

    def network_config(self, kind: type) -> Any:
        """The model's settings as its config dataclass, with the arithmetic of this training.

        Raises:
          ConfigError: an unknown key, a wrong type or an impossible value.
        """
        return from_mapping(kind, {**self.model, "dtype": self.compute_dtype}, "config.model")


def inference_config(model: Any) -> dict[str, Any]:
    """Settings of a trained network as others use it: float32, whatever it was trained in."""
    return to_mapping(dataclasses.replace(model, dtype="float32"))


def config_dict(system: str, model: Any, options: Any, **settings: Any) -> ml_collections.ConfigDict:
    """A complete ConfigDict for the launcher, every key present, from the dataclasses that will check it."""
    without_dtype = {key: value for key, value in to_mapping(model).items() if key != "dtype"}
    config = TrainConfig(system=system, model=without_dtype, options=to_mapping(options), **settings)
    found = ml_collections.ConfigDict(_keep_tuples(dataclasses.asdict(config)))
    for key, kind in (("clip_norm", float), ("decay_from_step", int)):
        if found.optimizer[key] is None:  # otherwise the command line could not set it
            found.optimizer[key] = ml_collections.config_dict.placeholder(kind)
    return found


def load_config_file(file: Path, argument: str) -> ml_collections.ConfigDict:
    """What the launcher is given by `--config=FILE:ARGUMENT`."""
    spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(argument)


def parse(config: ml_collections.ConfigDict) -> TrainConfig:
    """The checked form of what the launcher was given.

    Raises:
      ConfigError: an unknown key, a wrong type or an impossible value.
    """
    return from_mapping(TrainConfig, config.to_dict() if hasattr(config, "to_dict") else config)


def from_argument(build: Callable[[str], ml_collections.ConfigDict]) -> Callable[[str], ml_collections.ConfigDict]:
    """Lets a `get_config(variant)` take settings behind the variant: `--config=configs/codegan.py:full,code=pitch`.

    A name is that of a key, with its path (`optimizer.learning_rate`) where the last part is not unique.
    """

    @functools.wraps(build)
    def get_config(argument: str = "full") -> ml_collections.ConfigDict:
        variant, *settings = argument.split(",")
        config = build(variant)
        for setting in settings:
            name, _, value = setting.partition("=")
            values = _flat(config.to_dict())
            path = _find_key(values, name)
            config.update_from_flattened_dict({path: _typed(value, values[path], path)})
        return config

    return get_config


def _find_key(values: Mapping[str, Any], name: str) -> str:
    keys = [key for key in values if key == name or key.endswith(f".{name}")]
    if name in keys:
        return name
    if len(keys) == 1:
        return keys[0]
    if keys:
        raise ConfigError(f"The config has several keys {name!r}; write one of {', '.join(keys)}.")
    raise ConfigError(f"The config has no key {name!r}; it has {', '.join(sorted(values))}.")


def _flat(config: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    leaves = {}
    for key, value in config.items():
        leaves.update(_flat(value, f"{path}{key}.") if isinstance(value, Mapping) else {path + key: value})
    return leaves


def _typed(text: str, old: Any, key: str) -> Any:
    """The value of a setting, read as the type that the key has; a tuple's entries are joined by `+`."""
    if isinstance(old, str):
        return text
    try:
        if isinstance(old, tuple):
            return tuple(type(old[0])(entry) if old else entry for entry in text.split("+"))
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise ConfigError(f"config.{key} is {text!r}; expected a value like {old!r}.") from error
    return float(value) if isinstance(old, float) and isinstance(value, int) else value


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


def reading_options(config: TrainConfig, split: str, first_sample: int = 0) -> dict[str, Any]:
    """The options of `pipeline.build` that do not depend on the system.

    Args:
      config: of the training.
      split: "train" is read endlessly, from `first_sample` on; another one once, in order.
      first_sample: how many samples all processes together have taken before.
    """
    return {
        "seed": config.seed,
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
        "train": split == "train",
        "read_threads": config.data.read_threads,
        "first_sample": first_sample,
    }
