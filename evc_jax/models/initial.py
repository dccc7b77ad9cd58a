"""How parameters are drawn."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike, Float

SMALLEST_DRAW = 65_536


class Keys:
    """A key for every draw, the same as `flax.nnx.Rngs` gives.

    This counts in Python. `nnx.Rngs` counts in an array, so that `jax.eval_shape` of a network would trace an addition
    for every parameter: seconds for WaveGlow.

    Args:
      seed: a number or a key.
    """

    def __init__(self, seed: int | Array):
        self._key = jax.random.key(seed) if isinstance(seed, int) else seed
        self._count = 0

    def __next__(self) -> Array:
        self._count += 1
        return jax.random.fold_in(self._key, self._count - 1)


def uniform(keys: Keys, shape: tuple[int, ...], bound: float) -> nnx.Param:
    """A parameter drawn from U(-bound, bound)."""
    key = next(keys)
    if isinstance(key, jax.core.Tracer):
        return nnx.Param(jax.random.uniform(key, shape, minval=-bound, maxval=bound))
    # A program for every power of two, where JAX would compile one for every shape. A value depends on the key and on
    # its place alone, so these are the same numbers.
    size = math.prod(shape)
    drawn = _draw(key, max(SMALLEST_DRAW, 1 << (size - 1).bit_length()), -bound, bound)
    return nnx.Param(jnp.asarray(np.asarray(drawn)[:size].reshape(shape)))


@functools.partial(jax.jit, static_argnums=1)
def _draw(key: Array, count: int, low: ArrayLike, high: ArrayLike) -> Float[Array, " count"]:
    return jax.random.uniform(key, (count,), minval=low, maxval=high)
