"""Pictures and sounds of a few fixed utterances at validation, for TensorBoard."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from typing import Any

from evc_jax.training.config import SYSTEMS, TrainConfig
from evc_jax.training.samples.sample_logger import SampleLogger


def build_sample_logger(config: TrainConfig, networks: Mapping[str, Mapping[str, Any]]) -> SampleLogger:
    """The sample logger of the system that is trained; nothing is read yet.

    Args:
      config: the training.
      networks: per network its settings, as the system names them.
    """
    # Imported when it is built: each brings its networks and matplotlib.
    name = f"evc_jax.training.samples.{config.system}:{SYSTEMS[config.system]}SampleLogger"
    return pkgutil.resolve_name(name)(config, networks[config.system])
