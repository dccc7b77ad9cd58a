"""Data parallelism: one per-device step, mapped over all devices of all hosts.

A system's step is written for one device and calls `mean_over_devices` where replicas must agree. Nothing else in the
project depends on the number of devices. `shard_map` under `jit` is how `jax.pmap` itself is implemented.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from evc_jax.errors import ConfigError

AXIS = "data"


def connect(distributed: str) -> None:
    """Joins the processes of a training on several hosts; to be called before anything else touches JAX.

    Args:
      distributed: "" for a single process; "auto" where JAX finds the others by itself (TPU pods, Slurm, GKE, Open
        MPI); else "ADDRESS:PORT/COUNT/INDEX" with the first process's address, e.g. "10.0.0.1:1234/4/0".

    Raises:
      ConfigError: none of these.
    """
    if not distributed:
        return
    if distributed == "auto":
        jax.distributed.initialize()
        return
    parts = re.fullmatch(r"(.+:\d+)/(\d+)/(\d+)", distributed)
    if not parts or not int(parts[3]) < int(parts[2]):
        raise ConfigError(
            f"--distributed is {distributed!r}; give auto, or ADDRESS:PORT/COUNT/INDEX such as 10.0.0.1:1234/4/0."
        )
    jax.distributed.initialize(parts[1], int(parts[2]), int(parts[3]))


def device_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh with one axis, over all devices of all processes unless some are given."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def mean_over_devices(tree: Any) -> Any:
    """The mean of every leaf over all devices; to be called inside a per-device function."""
    # XLA would copy every leaf even on a single device.
    return tree if jax.lax.axis_size(AXIS) == 1 else jax.lax.pmean(tree, AXIS)


def of_first_device(value: jax.Array) -> jax.Array:
    """The first device's value on every device; to be called inside a per-device function."""
    return jax.lax.psum(jnp.where(jax.lax.axis_index(AXIS) == 0, value, jnp.zeros_like(value)), AXIS)


def mean_gradients(loss: Callable, params: Any, inputs: Any, parts: int) -> tuple[Any, dict[str, jax.Array]]:
    """Gradients and metrics of a batch, averaged over its micro-batches and over all devices.

    Args:
      loss: (params, inputs) -> loss, metrics; a mean over samples, so that the mean of parts is that of the whole.
      params: what to differentiate by.
      inputs: a pytree whose leaves are [B, ...] on this device.
      parts: micro-batches that are computed one after the other; only one of them needs memory at a time.
    """
    gradient = jax.grad(loss, has_aux=True)
    if parts == 1:
        return mean_over_devices(gradient(params, inputs))
    split = jax.tree.map(lambda leaf: leaf.reshape(parts, -1, *leaf.shape[1:]), inputs)
    shapes = jax.eval_shape(gradient, params, jax.tree.map(lambda leaf: leaf[0], split))
    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def add(total, part):
        return jax.tree.map(jnp.add, total, gradient(params, part)), None

    total, _ = jax.lax.scan(add, start, split)
    return mean_over_devices(jax.tree.map(lambda leaf: leaf / parts, total))


def map_step(step: Callable, mesh: Mesh | AbstractMesh, several: bool = False) -> Callable:
    """Compiles `step(state, batch, key) -> (state, metrics)` for all devices; the state is donated.

    Args:
      step: on one device.
      several: whether a call makes several steps: batches are then stacked along a new first axis, and so are the
        metrics. Small networks' steps take less time than the host needs to start each.
    """

    def steps(state, batches, key):
        return jax.lax.scan(lambda state, batch: step(state, batch, key), state, batches)

    # check_vma=False: with it, gradients of replicated parameters arrive already summed, and `pmean` would then be n
    # times too large. The tests prove that replicas agree.
    batch_spec = P(None, AXIS) if several else P(AXIS)
    called = steps if several else step
    mapped = jax.shard_map(called, mesh=mesh, in_specs=(P(), batch_spec, P()), out_specs=P(), check_vma=False)
    return jax.jit(mapped, donate_argnums=0)


def map_evaluation(evaluate: Callable, mesh: Mesh) -> Callable:
    """Compiles `evaluate(state, batch, key) -> metrics` for all devices, averaging the metrics over them."""

    def per_device(state, batch, key):
        return mean_over_devices(evaluate(state, batch, key))

    return jax.jit(jax.shard_map(per_device, mesh=mesh, in_specs=(P(), P(AXIS), P()), out_specs=P(), check_vma=False))


def init_replicated(init: Callable, key: jax.Array, mesh: Mesh) -> Any:
    """The first state, the same on every device of every process.

    Every process computes it, operation by operation: as one program, hundreds of draws would compile for a minute.
    """
    sharding = NamedSharding(mesh, P())

    def place(leaf):
        value = np.asarray(leaf)
        return jax.make_array_from_callback(value.shape, sharding, lambda _: value.copy())

    return jax.tree.map(place, init(key))


def replicate(tree: Any, mesh: Mesh) -> Any:
    """The same values on every device; every process must give the same."""
    sharding = NamedSharding(mesh, P())

    def place(leaf):
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            # JAX does not spread typed keys over several processes, but it does their bits.
            return jax.random.wrap_key_data(jax.device_put(np.asarray(jax.random.key_data(leaf)), sharding))
        return jax.device_put(leaf, sharding)

    return jax.tree.map(place, tree)


def shard_batch(batch: dict[str, np.ndarray], mesh: Mesh, several: bool = False) -> dict[str, jax.Array]:
    """This process's part of the batch, laid over the devices along its first axis; of several, along their second."""
    sharding = NamedSharding(mesh, P(None, AXIS) if several else P(AXIS))
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
