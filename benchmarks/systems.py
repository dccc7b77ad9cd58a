"""The project's own training steps, as benchmarks run them: compiled for all devices, on a batch of random numbers."""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import numpy as np

from benchmarks.harness import Contender
from evc_jax.training import parallel
from evc_jax.training.config import TrainConfig, load_config_file, parse
from evc_jax.training.systems.fake_data import synthetic_batch, system_without_data

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def load_config(name: str, arguments: argparse.Namespace, variant: str = "full") -> TrainConfig:
    """`configs/NAME.py:VARIANT` in the command line's batch and precision; --quick: `tiny`, a small batch."""
    config = load_config_file(CONFIGS / f"{name}.py", "tiny" if arguments.quick else variant)
    config.batch_size = 2 * jax.device_count() if arguments.quick else arguments.batch
    config.compute_dtype = arguments.dtype
    return parse(config)


def training_step(name: str, config: TrainConfig) -> tuple[Contender, dict[str, np.ndarray]]:
    """A contender that makes one step after the other, and the batch it makes them on."""
    system = system_without_data(config)
    batch = synthetic_batch(system, config.batch_size * config.accumulate)

    def prepare():
        mesh = parallel.device_mesh()
        parallel.local_batch_size(config.batch_size, mesh)
        key = parallel.replicate(jax.random.key(0), mesh)
        state = parallel.init_replicated(system.init, key, mesh)
        on_device = parallel.shard_batch(batch, mesh)
        step = parallel.map_step(system.step, mesh).lower(state, on_device, key).compile()

        def call():
            nonlocal state
            state, metrics = step(state, on_device, key)
            return jax.block_until_ready((state, metrics))

        return call

    return Contender(name, prepare), batch
