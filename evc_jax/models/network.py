"""Networks as pure functions of their parameters, and what their definitions are built from.

`Network` separates an `nnx.Module` into its definition and a plain nested dict of parameters. `KeySequence` and
`uniform` draw the initial parameters. `pytree_dataclass` makes the results with named parts that pass through JAX's
transformations.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, ArrayLike, Float

Params = dict[str, Any]
T = TypeVar("T")

MIN_COMPILED_SIZE = 65_536


class Network:
    """A module type and its config as pure functions of a parameter tree.

    Args:
      module_type: an `nnx.Module` built as `module_type(config, keys=...)` whose only state is `nnx.Param`.
      config: its frozen dataclass.
    """

    def __init__(self, module_type: Callable[..., nnx.Module], config: Any):
        self.module_type = module_type
        self.config = config
        abstract = nnx.eval_shape(lambda: module_type(config, keys=KeySequence(0)))
        self._graph, self._abstract = nnx.split(abstract, nnx.Param)

    def init(self, key: jax.Array) -> Params:
        """Draws the initial parameters."""
        return nnx.to_pure_dict(nnx.state(self.module_type(self.config, keys=KeySequence(key)), nnx.Param))

    def shapes(self) -> Params:
        """The parameter tree with `jax.ShapeDtypeStruct` leaves; nothing is allocated."""
        return nnx.to_pure_dict(self._abstract)

    def fits(self, params: Any) -> bool:
        """Whether a tree of arrays has the names and shapes of this network's parameters."""
        return not self.misfits(params)

    def misfits(self, params: Any) -> list[str]:
        """What of a tree of arrays is not as this network's parameters: a phrase for each, ordered by name."""
        there, here = (
            {name: np.shape(leaf) for name, leaf in named_leaves(tree).items()} for tree in (params, self.shapes())
        )
        return [
            f"{name} is missing there"
            if name not in there
            else f"{name} is unknown here"
            if name not in here
            else f"{name} is {there[name]} there and {here[name]} here"
            for name in sorted(there.keys() | here.keys())
            if there.get(name) != here.get(name)
        ]

    def count(self) -> int:
        """Number of weights."""
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(self.shapes()))

    def apply(self, params: Params, *args: Any, method: str = "__call__", **kwargs: Any) -> Any:
        """Calls `method` of the network with `params`; pure, to be wrapped in `jax.jit` by the caller."""
        params, args, kwargs = jax.tree.map(_as_jax, (params, args, kwargs))
        module = nnx.merge(self._graph, params)
        return getattr(module, method)(*args, **kwargs)


def named_leaves(params: Any) -> dict[str, Any]:
    """The leaves of a parameter tree, in order, by names such as `decoder.lstm.0.forward.hidden_kernel`."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _as_jax(leaf: Any) -> Any:
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf


class KeySequence:
    """An iterator of keys, the same ones as `flax.nnx.Rngs` gives.

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


def uniform(keys: KeySequence, shape: tuple[int, ...], bound: float) -> nnx.Param:
    """A parameter drawn from U(-bound, bound)."""
    key = next(keys)
    if isinstance(key, jax.core.Tracer):
        return nnx.Param(jax.random.uniform(key, shape, minval=-bound, maxval=bound))
    # JAX would compile one program for every shape; this compiles one for every power of two. A value depends on the
    # key and on its place alone, so the numbers are the same.
    size = math.prod(shape)
    drawn = _draw(key, max(MIN_COMPILED_SIZE, 1 << (size - 1).bit_length()), -bound, bound)
    return nnx.Param(jnp.asarray(np.asarray(drawn)[:size].reshape(shape)))


@functools.partial(jax.jit, static_argnums=1)
def _draw(key: Array, count: int, low: ArrayLike, high: ArrayLike) -> Float[Array, " count"]:
    return jax.random.uniform(key, (count,), minval=low, maxval=high)


@dataclass_transform(frozen_default=True)
def pytree_dataclass(cls: type[T]) -> type[T]:
    """Makes `cls` a frozen dataclass and a pytree whose leaves are its fields.

    Unflattening does not run `__init__`, unlike `jax.tree_util.register_dataclass`: inside JAX's transformations the
    leaves are shapes, axes or placeholders, which would not pass the run-time check of the annotations.
    """
    cls = dataclasses.dataclass(frozen=True)(cls)
    names = tuple(cls.__annotations__)

    def flatten_with_keys(value):
        return tuple((jax.tree_util.GetAttrKey(name), getattr(value, name)) for name in names), None

    def unflatten(_, leaves):
        value = object.__new__(cls)
        for name, leaf in zip(names, leaves, strict=True):
            object.__setattr__(value, name, leaf)
        return value

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten)
    return cls
