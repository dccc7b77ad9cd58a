"""The speeds of this device that limit every program: matrix products, copies, and starting a program."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

MATRIX_SIDES = {"cpu": (512, 1024, 2048)}
ACCELERATOR_SIDES = (4096, 8192)
COPIED_BYTES = 2**28
ROUNDS = 10
STARTS = 100


def matrix_flops_per_s(dtype: str = "float32", quick: bool = False) -> float:
    """FLOPs per second of the fastest product of two square matrices, at JAX's default precision.

    Args:
      dtype: of the matrices; sums are float32.
      quick: a small product twice: to see that it works.
    """
    sides = (256,) if quick else MATRIX_SIDES.get(jax.default_backend(), ACCELERATOR_SIDES)
    product = jax.jit(lambda a, b: jnp.dot(a, b, preferred_element_type=jnp.float32))
    matrices = [jax.random.normal(jax.random.key(side), (side, side), dtype) for side in sides]
    return max(2 * len(x) ** 3 / _shortest_s(lambda x=x: product(x, x), quick) for x in matrices)


def copy_bytes_per_s(quick: bool = False) -> float:
    """Bytes per second, read and written, of an addition to an array in place."""
    increment = jax.jit(lambda x: x + 1, donate_argnums=0)
    array = jnp.zeros(COPIED_BYTES // (16 if quick else 1) // 4)

    def copy() -> jax.Array:
        nonlocal array
        array = increment(array)
        return array

    return 2 * array.nbytes / _shortest_s(copy, quick)


def start_s() -> float:
    """Time from starting a program of one small operation to the start of the next one."""
    increment, value = jax.jit(lambda x: x + 1), jnp.zeros(8)
    jax.block_until_ready(increment(value))
    begin = time.perf_counter()
    for _ in range(STARTS):
        value = increment(value)
    jax.block_until_ready(value)
    return (time.perf_counter() - begin) / STARTS


def _shortest_s(call: Callable[[], Any], quick: bool) -> float:
    jax.block_until_ready(call())
    times_s = []
    for _ in range(2 if quick else ROUNDS):
        begin = time.perf_counter()
        jax.block_until_ready(call())
        times_s.append(time.perf_counter() - begin)
    return min(times_s)
