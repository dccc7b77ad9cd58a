"""The functional edge of a network: parameters are a plain nested dict, the module is only its definition."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from evc_jax.models.initial import Keys

Params = dict[str, Any]


class Network:
    """A module type and its config, seen as pure functions of a parameter tree.

    Args:
      module_type: an `nnx.Module` built as `module_type(config, keys=...)` whose only state is `nnx.Param`.
      config: its frozen dataclass.
    """

    def __init__(self, module_type: type[nnx.Module], config: Any):
        self.module_type = module_type
        self.config = config
        self._graph, self._abstract = nnx.split(nnx.eval_shape(self._build_from_zero), nnx.Param)

    def __repr__(self) -> str:
        return f"Network({self.module_type.__name__}, {self.config})"

    def init(self, key: jax.Array) -> Params:
        """Draws the initial parameters."""
        return nnx.to_pure_dict(nnx.state(self.module_type(self.config, keys=Keys(key)), nnx.Param))

    def shapes(self) -> Params:
        """The parameter tree with `jax.ShapeDtypeStruct` leaves; nothing is allocated."""
        return nnx.to_pure_dict(self._abstract)

    def count(self) -> int:
        """Number of weights."""
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(self.shapes()))

    def apply(self, params: Params, *args: Any, method: str = "__call__", **kwargs: Any) -> Any:
        """Calls `method` of the network with `params`; pure, to be wrapped in `jax.jit` by the caller."""
        params, args, kwargs = jax.tree.map(_as_jax, (params, args, kwargs))
        module = nnx.merge(self._graph, params)
        return getattr(module, method)(*args, **kwargs)

    def _build_from_zero(self) -> nnx.Module:
        return self.module_type(self.config, keys=Keys(0))


def _as_jax(leaf: Any) -> Any:
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf
