"""The configuration of a training. `configs/NAME.py` fills these; unknown keys and wrong types are errors."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import math
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evc_jax.config import from_mapping, to_mapping
from evc_jax.errors import ConfigError, one_line

# What the classes of each begin with: `systems/NAME.py` has the `System`, `samples/NAME.py` the `SampleLogger`.
SYSTEMS = {
    "speechsplit": "SpeechSplit",
    "f0_converter": "F0Converter",
    "voicegan": "VoiceGAN",
    "codegan": "CodeGAN",
    "prosody": "Prosody",
    "waveglow": "WaveGlow",
    "timbre_converter": "TimbreConverter",
}
# A link to the `configs/` of a checkout, whose files are in the wheel.
CONFIGS = Path(__file__).resolve().parents[1] / "configs"
COMPUTE_DTYPES = ("float32", "bfloat16", "float64")


class UnknownVariant(ConfigError):
    """A config without the variant that is asked for; `known` are those that it has."""

    def __init__(self, variant: str, known: tuple[str, ...]):
        super().__init__(f"This config has no variant {variant!r}; it has: {', '.join(known)}.")
        self.known = known


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
        if not self.datasets:
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
      steps: optimizer steps; for a GAN one step is `discriminator_steps` of the discriminator and one of the generator.
      minutes: if not 0, the training ends after this time, compiling, the last validation and the last checkpoint
        included. `steps` then only says, with `optimizer.warmup_steps` and `decay_from_step`, in which share of the
        time the learning rate rises and falls. A checkpoint is written every fifth of the time at the latest.
      steps_per_call: steps that the devices make before the host is asked again; for networks so small that the host
        cannot start their steps as fast as the devices make them.
      validation_samples: the first so many of the validation split are validated on; a small split wholly.
      show_every: pictures and sound of validation utterances go to TensorBoard every so many steps; 0 is never.
      keep_checkpoints: the last N are kept, and the best.
      best_metric: the validation metric whose smallest value makes a checkpoint the best.
      init_from: a bundle ("embedded" is the one of the package) or work directory whose parameters of this network a
        training starts with, at step 0 and with a fresh optimizer; of a GAN also the discriminator's, which bundles
        lack. "" starts with random ones. A training that is resumed does not read it again.
      profile_steps: "FIRST:LAST", both included: a trace of these steps goes to WORKDIR/profile; "" makes none.
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
    minutes: float = 0.0
    steps_per_call: int = 1
    seed: int = 0
    init_from: str = ""
    log_every: int = 100
    validate_every: int = 1000
    validation_samples: int = 640
    show_every: int = 0
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3
    profile_steps: str = ""

    def __post_init__(self):
        for key, known in (("system", tuple(SYSTEMS)), ("compute_dtype", COMPUTE_DTYPES)):
            if getattr(self, key) not in known:
                raise ConfigError(f"config.{key} is {getattr(self, key)!r}; expected one of {', '.join(known)}.")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"config.ema_decay is {self.ema_decay}; expected at least 0 and less than 1.")
        if not 0 <= self.minutes < math.inf:
            raise ConfigError(f"config.minutes is {self.minutes}; expected a time, or 0 to train for config.steps.")
        positive = (
            "batch_size accumulate steps steps_per_call log_every validate_every checkpoint_every keep_checkpoints"
        )
        for key in positive.split():
            if getattr(self, key) < 1:
                raise ConfigError(f"config.{key} is {getattr(self, key)}; expected at least 1.")
        first, last = self.profiled
        if self.profile_steps and not 1 <= first <= last:
            raise ConfigError(
                f"config.profile_steps is {self.profile_steps!r}; expected FIRST:LAST such as 100:110, from step 1 on."
            )

    @property
    def profiled(self) -> tuple[int, int]:
        """First and last step of the trace; (0, 0) for none."""
        parts = re.fullmatch(r"(\d+):(\d+)", self.profile_steps)
        return (int(parts[1]), int(parts[2])) if parts else (0, 0)

    def network_config(self, kind: type) -> Any:
        """The model's settings as its config dataclass, with the arithmetic of this training.

        Raises:
          ConfigError: an unknown key, a wrong type or an impossible value.
        """
        return from_mapping(kind, {**self.model, "dtype": self.compute_dtype}, "config.model")


def inference_config(model: Any) -> dict[str, Any]:
    """Settings of a trained network as others use it: float32, whatever it was trained in."""
    return to_mapping(dataclasses.replace(model, dtype="float32"))


def config_dict(system: str, model: Any, options: Any, **settings: Any) -> Any:
    """A complete `ml_collections.ConfigDict`, every key present, from the dataclasses that will check it."""
    import ml_collections  # of the extra `train`, which the studio does without

    config = TrainConfig(system=system, model=_model_mapping(model), options=to_mapping(options), **settings)
    return ml_collections.ConfigDict(dataclasses.asdict(config))


def load_config_file(file: Path, variant: str = "full") -> Any:
    """What the file's `get_config` makes of a variant: a ConfigDict, or another mapping.

    Raises:
      ConfigError: there is no such file or variant, or the file cannot be run.
    """
    spec = importlib.util.spec_from_file_location(f"config_{file.stem}", file) if file.is_file() else None
    if spec is None or spec.loader is None:
        near = file.stem if file.stem in packaged_configs() else "NAME"
        raise ConfigError(
            f"There is no config {str(file)!r}; give --config={near}:VARIANT for one of the package, which are "
            f"{', '.join(packaged_configs())}, or the file of another."
        )
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return module.get_config(variant)
    except ConfigError:
        raise
    except Exception as error:  # a config is a program of the user's
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise ConfigError(f"The config {file} cannot be run ({reason}); mend the file.") from error


def packaged_configs() -> dict[str, Path]:
    """The files of the package's configs by name."""
    return {file.stem: file for file in sorted(CONFIGS.glob("[!_.]*.py"))}


def find_config(text: str) -> tuple[Path, str]:
    """File and variant of `NAME`, `NAME:VARIANT`, `FILE.py` or `FILE.py:VARIANT`; the name is one of the package's."""
    path, _, variant = text.partition(":")
    return packaged_configs().get(path, Path(path)), variant or "full"


def config_title(file: Path) -> str:
    """The first line of a config's docstring; nothing is run."""
    return (ast.get_docstring(ast.parse(file.read_bytes())) or "").partition("\n")[0]


def config_variants(file: Path) -> tuple[str, ...]:
    """The variants of a config file, see `pick`; of one without any, the empty name.

    Raises:
      ConfigError: there is no such file, or it cannot be run.
    """
    try:
        load_config_file(file, "")
    except UnknownVariant as error:
        return error.known
    return ("",)


def system_type(name: str) -> type:
    """The class of a system; imported when it is asked for, as each brings its networks."""
    return pkgutil.resolve_name(f"evc_jax.training.systems.{name}:{SYSTEMS[name]}System")


def parse(settings: Any) -> TrainConfig:
    """The checked form of a mapping or ConfigDict; keys that are left out get their defaults.

    Raises:
      ConfigError: an unknown key, a wrong type or an impossible value.
    """
    config = from_mapping(TrainConfig, settings.to_dict() if hasattr(settings, "to_dict") else settings)
    system: Any = system_type(config.system)
    return dataclasses.replace(
        config,
        model=_model_mapping(config.network_config(system.config_type)),
        options=to_mapping(from_mapping(system.options_type, config.options, "config.options")),
    )


def pick(variant: str, **choices: Any) -> Any:
    """The choice of a config's variant.

    Raises:
      UnknownVariant: no such variant.
    """
    if variant in choices:
        return choices[variant]
    raise UnknownVariant(variant, tuple(choices))


def _model_mapping(model: Any) -> dict[str, Any]:
    # The type of the arithmetic is a matter of the training.
    return {key: value for key, value in to_mapping(model).items() if key != "dtype"}
