"""Data parallelism: one per-device step, mapped over all devices of all hosts.

A system's step is written for one device and calls `mean_over_devices` where replicas must agree. Nothing else in the
project knows how many devices there are. `shard_map` under `jit` is what `jax.pmap` itself has become.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from evc_jax.errors import ConfigError

AXIS = "data"


def device_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh with one axis, over all devices unless some are given."""
    return Mesh(np.array(jax.devices() if devices is None else devices), (AXIS,))


def mean_over_devices(tree: Any) -> Any:
    """The mean of every leaf over all devices; to be called inside a per-device function."""
    return jax.lax.pmean(tree, AXIS)


def map_step(step: Callable, mesh: Mesh) -> Callable:
    """Compiles `step(state, batch, key) -> (state, metrics)` for all devices; the state is donated."""
    # check_vma=False: with it, gradients of replicated parameters arrive already summed, and `pmean` would then be n
    # times too large. The tests prove that replicas agree.
    mapped = jax.shard_map(step, mesh=mesh, in_specs=(P(), P(AXIS), P()), out_specs=P(), check_vma=False)
    return jax.jit(mapped, donate_argnums=0)


def map_evaluation(evaluate: Callable, mesh: Mesh) -> Callable:
    """Compiles `evaluate(state, batch, key) -> metrics` for all devices, averaging the metrics over them."""

    def per_device(state, batch, key):
        return mean_over_devices(evaluate(state, batch, key))

    return jax.jit(jax.shard_map(per_device, mesh=mesh, in_specs=(P(), P(AXIS), P()), out_specs=P(), check_vma=False))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """The same values on every device."""
    return jax.device_put(tree, NamedSharding(mesh, P()))


def shard_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """This process's part of the batch, laid over the devices along its first axis."""
    sharding = NamedSharding(mesh, P(AXIS))
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}


def fit_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> dict[str, np.ndarray]:
    """The batch of a small split in equal shares: samples that are too many are left out, too few are repeated."""
    devices = len(mesh.local_devices)
    samples = len(next(iter(batch.values())))
    chosen = np.arange(max(devices, samples - samples % devices)) % samples
    return {name: value[chosen] for name, value in batch.items()}


def local_batch_size(batch_size: int, mesh: Mesh) -> int:
    """How many samples of each batch this process reads.

    Raises:
      ConfigError: the batch cannot be divided among the devices.
    """
    if batch_size % mesh.size:
        raise ConfigError(
            f"config.batch_size is {batch_size} and there are {mesh.size} devices; choose a multiple of {mesh.size}."
        )
    return batch_size // jax.process_count()
