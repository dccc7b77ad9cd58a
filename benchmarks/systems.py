"""The project's own training steps, as benchmarks run them: compiled for all devices, on a batch of random numbers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.fake_data import synthetic_batch, system_without_data
from benchmarks.harness import Contender
from evc_jax.training import parallel
from evc_jax.training.config import TrainConfig, load_config_file, parse

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def load_config(name: str, variant: str = "full", **changes: Any) -> TrainConfig:
    """`configs/NAME.py:VARIANT` with some of its keys changed."""
    config = load_config_file(CONFIGS / f"{name}.py", variant)
    config.update(changes)
    return parse(config)


def chosen_config(name: str, arguments: argparse.Namespace, variant: str = "full") -> TrainConfig:
    """The config in the command line's batch and precision; --quick: `tiny`, a small batch."""
    batch_size = 2 * jax.device_count() if arguments.quick else arguments.batch
    variant = "tiny" if arguments.quick else variant
    return load_config(name, variant, batch_size=batch_size, compute_dtype=arguments.dtype)


def step_program(
    config: TrainConfig, batch: dict[str, np.ndarray], devices: int | None = None, steps: int | None = None
) -> tuple[Any, tuple]:
    """The mapped training step on so many devices, all by default, and its inputs: state, batch and key.

    With `steps`, a call makes so many on the same batch.
    """
    system, mesh = system_without_data(config), parallel.device_mesh(jax.devices()[:devices])
    parallel.local_batch_size(config.batch_size, mesh)
    key = parallel.replicate(jax.random.key(0), mesh)
    state = parallel.init_replicated(system.init, key, mesh)
    if steps:
        batch = {name: np.stack([value] * steps) for name, value in batch.items()}
    laid = parallel.shard_batch(batch, mesh, bool(steps))
    return parallel.map_step(system.step, mesh, bool(steps)), (state, laid, key)


def training_step(
    name: str, config: TrainConfig, steps: int = 1, together: bool = False
) -> tuple[Contender, dict[str, np.ndarray]]:
    """A contender that makes one step after the other, and the batch it makes them on.

    Args:
      name: of the contender.
      config: of the training.
      steps: in each call of the contender.
      together: whether the host starts them all at once.
    """
    batch = synthetic_batch(system_without_data(config), config.batch_size * config.accumulate)

    def prepare():
        function, (state, *rest) = step_program(config, batch, steps=steps if together else None)
        step = function.lower(state, *rest).compile()

        def call():
            nonlocal state
            for _ in range(1 if together else steps):
                state, metrics = step(state, *rest)
                jax.block_until_ready((state, metrics))

        return call

    return Contender(name, prepare), batch
