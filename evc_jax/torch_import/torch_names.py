"""PyTorch state dicts to our parameters and back, for every network.

A network's weights are listed as `Weight`s: where it lies in our tree, its name in PyTorch and how its layout
changes. Every change of layout is a permutation, so gradients convert like weights. Works on NumPy arrays; PyTorch
is not needed.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from evc_jax.errors import CheckpointError
from evc_jax.models.network import Params

State = Mapping[str, np.ndarray]
MAX_DIGITS = 3


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a tensor changes on the way in (`ours`) and back out (`theirs`)."""

    ours: Callable[[np.ndarray], np.ndarray]
    theirs: Callable[[np.ndarray], np.ndarray]


def transposed(*axes: int) -> Layout:
    """A permutation of the axes."""
    inverse = tuple(int(axis) for axis in np.argsort(axes))
    return Layout(lambda a: np.transpose(a, axes), lambda a: np.transpose(a, inverse))


SAME = Layout(lambda a: a, lambda a: a)
MATRIX = transposed(1, 0)  # [out, in] -> [in, out]
CONV = transposed(2, 1, 0)  # [out, in, k] -> [k, in, out]
CONV_TRANSPOSE = transposed(2, 0, 1)  # [in, out, k] -> [k, in, out]
PER_CHANNEL = Layout(lambda a: a[:, 0, 0], lambda a: a[:, None, None])  # [out, 1, 1] -> [out]
POINTWISE = Layout(lambda a: a[:, :, 0].T, lambda a: a.T[:, :, None])  # [out, in, 1] -> [in, out]


@dataclasses.dataclass(frozen=True)
class Weight:
    """One tensor: its place in our tree, its PyTorch name and its layout."""

    path: tuple[str, ...]
    name: str
    layout: Layout = SAME


def from_torch(state: State, weights: Iterable[Weight]) -> Params:
    """Our parameter tree from a PyTorch state dict.

    Raises:
      CheckpointError: a tensor is missing, or of another shape than its layout allows.
    """
    params: Params = {}
    for weight in weights:
        node = params
        for key in weight.path[:-1]:
            node = node.setdefault(key, {})
        shape = shape_of(state, weight.name)
        try:
            node[weight.path[-1]] = np.ascontiguousarray(weight.layout.ours(np.asarray(state[weight.name])))
        except (ValueError, IndexError) as error:
            raise CheckpointError(
                f"The checkpoint's tensor {weight.name} has shape {list(shape)}; it is not one of this network."
            ) from error
    return params


def to_torch(params: Params, weights: Iterable[Weight]) -> dict[str, np.ndarray]:
    """A PyTorch state dict from our parameter tree (or gradients shaped like it)."""
    return {weight.name: weight.layout.theirs(np.asarray(leaf_at(params, weight.path))) for weight in weights}


def leaf_at(params: Params, path: tuple[str, ...]) -> Any:
    """What lies at a path of keys in a tree."""
    return functools.reduce(operator.getitem, path, params)


def shape_of(state: State, name: str, rank: int | None = None) -> tuple[int, ...]:
    """Shape of a tensor.

    Raises:
      CheckpointError: it is missing, or has another number of axes than `rank`.
    """
    if name not in state:
        raise CheckpointError(f"The checkpoint has no tensor {name}; it is not one of this network.")
    shape = tuple(np.shape(state[name]))
    if rank is not None and len(shape) != rank:
        raise CheckpointError(
            f"The checkpoint's tensor {name} has shape {list(shape)}, expected {rank} axes; it is not one of this "
            "network."
        )
    return shape


def count_matching(state: State, pattern: str) -> int:
    """How many of 0, 1, 2, ... `pattern`'s group takes among the names before one is missing."""
    numbers = set(numbers_matching(state, pattern))
    return next(count for count in range(len(numbers) + 1) if count not in numbers)


def numbers_matching(state: State, pattern: str) -> list[int]:
    """The sorted numbers that `pattern`'s group takes among the names; those of more than three digits are none."""
    matches = (re.match(pattern, name) for name in state)
    return sorted({int(match.group(1)) for match in matches if match and len(match.group(1)) <= MAX_DIGITS})


def conv_weights(path: tuple[str, ...], name: str, layout: Layout = CONV) -> list[Weight]:
    """Kernel and bias of a convolution."""
    return [Weight((*path, "kernel"), f"{name}.weight", layout), Weight((*path, "bias"), f"{name}.bias")]


def linear_weights(path: tuple[str, ...], name: str) -> list[Weight]:
    """Kernel and bias of a linear map."""
    return conv_weights(path, name, MATRIX)


def norm_weights(path: tuple[str, ...], name: str) -> list[Weight]:
    """Scale and bias of an affine normalization."""
    return [Weight((*path, "scale"), f"{name}.weight"), Weight((*path, "bias"), f"{name}.bias")]


def direction_weights(path: tuple[str, ...], name: str, suffix: str) -> list[Weight]:
    """One layer and direction of an LSTM; `suffix` is PyTorch's, e.g. l0_reverse."""
    return [
        Weight((*path, "input_kernel"), f"{name}.weight_ih_{suffix}", MATRIX),
        Weight((*path, "hidden_kernel"), f"{name}.weight_hh_{suffix}", MATRIX),
        Weight((*path, "input_bias"), f"{name}.bias_ih_{suffix}"),
        Weight((*path, "hidden_bias"), f"{name}.bias_hh_{suffix}"),
    ]


def lstm_weights(path: tuple[str, ...], name: str, layers: int) -> list[Weight]:
    """A unidirectional LSTM."""
    return [w for i in range(layers) for w in direction_weights((*path, str(i)), name, f"l{i}")]


def bilstm_weights(path: tuple[str, ...], name: str, layers: int) -> list[Weight]:
    """A bidirectional LSTM."""
    weights = []
    for i in range(layers):
        weights += direction_weights((*path, str(i), "forward"), name, f"l{i}")
        weights += direction_weights((*path, str(i), "backward"), name, f"l{i}_reverse")
    return weights
