"""Data parallelism: one per-device step, mapped over all devices of all hosts.

A system's step is written for one device and calls `mean_over_devices` where replicas must agree. Nothing else in the
project depends on the number of devices. `shard_map` under `jit` is how `jax.pmap` itself is implemented.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from evc_jax.errors import ConfigError

AXIS = "data"


def device_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """A mesh with one axis, over all devices of all processes unless some are given.

    `jax.make_mesh` orders the devices of a TPU slice along its torus.
    """
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
    """Compiles `evaluate(state, batch, key) -> metrics` for all devices; gives sums over the samples of the batch.

    Each sample is evaluated by itself and counts with its `weight`, whose sum is one of the results: the sums of all
    batches make the mean over a split whatever the number of devices, and however its last batch was filled.
    """

    def per_device(state, batch, key):
        def alone(sample):
            return evaluate(state, jax.tree.map(lambda leaf: leaf[None], sample), key)

        weight = batch.pop("weight")
        metrics = jax.vmap(alone)(batch)
        sums = {name: jnp.sum(jnp.where(weight > 0, weight * value, 0.0)) for name, value in metrics.items()}
        return jax.lax.psum({**sums, "weight": jnp.sum(weight)}, AXIS)

    return jax.jit(jax.shard_map(per_device, mesh=mesh, in_specs=(P(), P(AXIS), P()), out_specs=P(), check_vma=False))


def init_replicated(init: Callable, key: jax.Array, mesh: Mesh) -> Any:
    """The first state, the same on every device of every process.

    Every process computes it, operation by operation: as one program, hundreds of draws would compile for a minute.
    """
    return replicate(init(key), mesh)


def replicate(tree: Any, mesh: Mesh) -> Any:
    """The same values on every device; every process must give the same.

    Each process fills its own devices: `jax.device_put` would compare the values of all processes first.
    """
    sharding = NamedSharding(mesh, P())

    def place(leaf):
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(place(jax.random.key_data(leaf)))
        value = np.asarray(leaf)
        # A copy for each device, because a step donates its state.
        return jax.make_array_from_callback(value.shape, sharding, lambda _: value.copy())

    return jax.tree.map(place, tree)


def shard_batch(batch: dict[str, np.ndarray], mesh: Mesh, several: bool = False) -> dict[str, jax.Array]:
    """This process's part of the batch, laid over the devices along its first axis; of several, along their second."""
    sharding = NamedSharding(mesh, P(None, AXIS) if several else P(AXIS))
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}


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
