"""LSTMs with PyTorch's parametrisation (gates i, f, g, o; two biases), fast on every backend.

`run_lstm` takes one layout of weights and has three implementations: cuDNN's (`lstm_cudnn.py`) and two scans. A scan
contains the product with the recurrent weights alone: the input projection is one large product before it, the weight
gradient one after it. The two biases are separate parameters although only their sum matters, because an optimizer with
per-parameter step sizes moves two biases twice as far as one.

Source: Hochreiter and Schmidhuber 1997, "Long Short-Term Memory", with the forget gate of Gers et al. 2000.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from evc_jax.errors import ConfigError
from evc_jax.models.lstm_cudnn import Weights, cudnn_lstm, on_cuda
from evc_jax.models.network import KeySequence, uniform

VARIABLE = "EVC_LSTM"
# A scan for each direction; one scan for both, with half as many cells that wait for one another; cuDNN's kernels.
IMPLEMENTATIONS = ("scan", "paired", "cudnn")
UNROLL = 4
BACKWARD_UNROLL = 1


def _cell_activations(pre: Array) -> Array:
    """All four gates by one tanh: sigmoid(x) = (tanh(x / 2) + 1) / 2. pre [B, 4H] -> the same, activated."""
    hidden = pre.shape[-1] // 4
    half = jnp.array([0.5, 0.5, 1.0, 0.5], pre.dtype).repeat(hidden)
    return jnp.tanh(pre * half) * half + (1.0 - half)


def _step(
    state: tuple[Array, Array], projection: Array, bias: Array, recurrent: Array
) -> tuple[tuple[Array, Array], Array]:
    """One frame: hidden and cell [B, H], projection [B, 4H] -> hidden and cell, gates [B, 4H]."""
    hidden, cell = state
    product = jnp.dot(hidden.astype(recurrent.dtype), recurrent, preferred_element_type=projection.dtype)
    gates = lax.optimization_barrier(_cell_activations(projection + product + bias))
    i, f, g, o = jnp.split(gates, 4, axis=-1)
    cell = f * cell + i * g
    return (o * jnp.tanh(cell), cell), gates


def _start(projected: Array) -> tuple[Array, Array]:
    zeros = jnp.zeros((projected.shape[1], projected.shape[2] // 4), projected.dtype)
    return zeros, zeros


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def lstm_scan(
    projected: Float[Array, "T B G"], bias: Float[Array, " G"], recurrent: Float[Array, "H G"], reverse: bool = False
) -> Float[Array, "T B H"]:
    """The recurrence of one direction, from zero state.

    Args:
      projected: input projection, gates in the order i, f, g, o; G = 4H, float32 or wider.
      bias: added to it. The addition costs nothing inside the scan; before it, one more pass through memory.
      recurrent: recurrent weights, in the type the products are to run in.
      reverse: from the last frame to the first.

    Returns:
      hidden states, in the type of `projected`.
    """

    def step(state, projection):
        state, _ = _step(state, projection, bias, recurrent)
        return state, state[0]

    return lax.scan(step, _start(projected), projected, unroll=UNROLL, reverse=reverse)[1]


def _forward(projected, bias, recurrent, reverse):
    def step(carry, time):
        state, buffer = carry
        projection = lax.dynamic_index_in_dim(buffer, time, keepdims=False)
        after, gates = _step(state, projection, bias, recurrent)
        return (after, lax.dynamic_update_index_in_dim(buffer, gates, time, axis=0)), (after[0], state[1])

    # Gates take the place of the projections: another array this large would have to be cleared first.
    times = jnp.arange(len(projected))
    (_, gates), (hidden, before) = lax.scan(step, (_start(projected), projected), times, unroll=UNROLL, reverse=reverse)
    return hidden, (hidden, before, gates, recurrent)


def _backward(reverse, residuals, hidden_gradient):
    hidden, before, gates, recurrent = residuals
    transposed = recurrent.T

    def step(carry, inputs):
        from_next, cell_gradient = carry
        gradient, gate, cell_before = inputs
        i, f, g, o = jnp.split(gate, 4, axis=-1)
        total = gradient + from_next
        squashed = jnp.tanh(f * cell_before + i * g)
        cell_gradient = cell_gradient + total * o * (1.0 - squashed**2)
        pre = (
            cell_gradient * g * i * (1.0 - i),
            cell_gradient * cell_before * f * (1.0 - f),
            cell_gradient * i * (1.0 - g**2),
            total * squashed * o * (1.0 - o),
        )
        # Concatenated after they are computed: a fused loop over all four would branch at each value.
        pre = lax.optimization_barrier(jnp.concatenate(lax.optimization_barrier(pre), axis=-1))
        from_next = jnp.dot(pre.astype(transposed.dtype), transposed, preferred_element_type=pre.dtype)
        return (from_next, cell_gradient * f), pre

    _, projected_gradient = lax.scan(
        step, _start(gates), (hidden_gradient, gates, before), unroll=BACKWARD_UNROLL, reverse=not reverse
    )
    earlier, later = (hidden[1:], projected_gradient[:-1]) if reverse else (hidden[:-1], projected_gradient[1:])
    recurrent_gradient = jnp.einsum(
        "tbh,tbg->hg",
        earlier.astype(recurrent.dtype),
        later.astype(recurrent.dtype),
        preferred_element_type=hidden.dtype,
    )
    bias_gradient = projected_gradient.reshape(-1, gates.shape[-1]).sum(0)
    return projected_gradient, bias_gradient, recurrent_gradient.astype(recurrent.dtype)


lstm_scan.defvjp(_forward, _backward)


def run_lstm(
    parts: Sequence[Float[Array, "B _N _C"]],
    layers: Sequence[Sequence[Weights]],
    frames: int,
    dtype: jnp.dtype,
    implementation: str | None = None,
) -> Float[Array, "B T DH"]:
    """Layers of LSTMs from zero state, one after the other.

    Args:
      parts: inputs that lie side by side in channels. Of N < T frames, each is held for T / N frames, and is multiplied
        with the kernel only once.
      layers: of each the direction forwards and, in bidirectional ones, the one backwards.
      frames: T.
      dtype: of the products.
      implementation: one of `IMPLEMENTATIONS`; None: `chosen_implementation`.

    Returns:
      the last layer's hidden states, its directions side by side, float32 or wider.
    """
    implementation = implementation or chosen_implementation()
    if implementation == "cudnn":
        held = [jnp.repeat(part, frames // part.shape[1], axis=1) for part in parts]
        return cudnn_lstm(jnp.concatenate(held, axis=-1), layers)
    parts = [part.swapaxes(0, 1) for part in parts]
    for directions in layers:
        run = _run_together if implementation == "paired" else _run_apart
        parts = [jnp.concatenate(run(parts, directions, frames, dtype), axis=-1)]
    return parts[0].swapaxes(0, 1)


def chosen_implementation() -> str:
    """The value of $EVC_LSTM, one of `IMPLEMENTATIONS`; scan by default.

    Raises:
      ConfigError: it is something else, or cudnn where JAX has no CUDA GPU.
    """
    requested = os.environ.get(VARIABLE, "scan")
    if requested not in IMPLEMENTATIONS:
        raise ConfigError(f"${VARIABLE} is {requested!r}; expected one of {', '.join(IMPLEMENTATIONS)}.")
    if requested == "cudnn" and not on_cuda():
        raise ConfigError(f"${VARIABLE} is cudnn and JAX runs on {jax.default_backend()}; use scan there.")
    return requested


def _run_apart(
    parts: Sequence[Array], directions: Sequence[Weights], frames: int, dtype: jnp.dtype
) -> list[Float[Array, "T B H"]]:
    """The directions of a layer, one after the other or at once as the compiler likes it."""
    return [
        lstm_scan(_project(parts, weights, frames, dtype), *_recurrent(weights, dtype), bool(reverse))
        for reverse, weights in enumerate(directions)
    ]


def _run_together(
    parts: Sequence[Array], directions: Sequence[Weights], frames: int, dtype: jnp.dtype
) -> list[Float[Array, "T B H"]]:
    """The directions of a layer in one scan, the one backwards over reversed frames."""
    projected = [_project(parts, weights, frames, dtype) for weights in directions]
    projected[1:] = [jnp.flip(each, axis=0) for each in projected[1:]]
    bias, kernel = (
        jnp.stack(each) for each in zip(*(_recurrent(weights, dtype) for weights in directions), strict=True)
    )
    forwards, *backwards = jax.vmap(lambda *of_one: lstm_scan(*of_one, False))(jnp.stack(projected), bias, kernel)
    return [forwards, *(jnp.flip(each, axis=0) for each in backwards)]


def _recurrent(weights: Weights, dtype: jnp.dtype) -> tuple[Array, Array]:
    """What the recurrence takes: the sum of the biases, and the kernel in the type of the products."""
    return weights.input_bias + weights.hidden_bias, weights.hidden_kernel.astype(dtype)


def _project(parts: Sequence[Array], weights: Weights, frames: int, dtype: jnp.dtype) -> Float[Array, "T B G"]:
    """The input projection of one direction of parts [N, B, C], without its bias."""
    sums = jnp.promote_types(dtype, jnp.float32)
    products, first = [], 0
    for part in parts:
        rows = weights.input_kernel[first : first + part.shape[-1]].astype(dtype)
        product = jnp.dot(part.astype(dtype), rows, preferred_element_type=sums)
        products.append(jnp.repeat(product, frames // part.shape[0], axis=0))
        first += part.shape[-1]
    return functools.reduce(jnp.add, products)


class Direction(nnx.Module):
    """The weights of one layer in one direction of time."""

    def __init__(self, inputs: int, hidden: int, *, keys: KeySequence):
        bound = 1.0 / math.sqrt(hidden)
        self.input_kernel = uniform(keys, (inputs, 4 * hidden), bound)
        self.hidden_kernel = uniform(keys, (hidden, 4 * hidden), bound)
        self.input_bias = uniform(keys, (4 * hidden,), bound)
        self.hidden_bias = uniform(keys, (4 * hidden,), bound)

    def weights(self) -> tuple[Weights, ...]:
        parameters = (self.input_kernel, self.hidden_kernel, self.input_bias, self.hidden_bias)
        return (Weights(*(parameter[...] for parameter in parameters)),)


class BidirectionalLayer(nnx.Module):
    """The weights of both directions of a layer."""

    def __init__(self, inputs: int, hidden: int, *, keys: KeySequence):
        self.forward = Direction(inputs, hidden, keys=keys)
        self.backward = Direction(inputs, hidden, keys=keys)

    def weights(self) -> tuple[Weights, ...]:
        return self.forward.weights() + self.backward.weights()


class LSTM(nnx.Module):
    """Unidirectional LSTM of `layers` layers "0", "1", ...: [B, T, inputs] -> [B, T, hidden], float32."""

    layer_type: type[Direction | BidirectionalLayer] = Direction
    directions = 1

    def __init__(self, inputs: int, hidden: int, *, keys: KeySequence, layers: int = 1, dtype: str = "float32"):
        self.depth, self.dtype = layers, jnp.dtype(dtype)
        for index in range(layers):
            setattr(self, str(index), self.layer_type(inputs, hidden, keys=keys))
            inputs = self.directions * hidden

    def __call__(self, *parts: Float[Array, "B _N _C"], frames: int | None = None) -> Float[Array, "B T H"]:
        """See `run_lstm`; `frames` are those of the first part if None."""
        frames = parts[0].shape[1] if frames is None else frames
        layers = [getattr(self, str(index)).weights() for index in range(self.depth)]
        return run_lstm(parts, layers, frames, self.dtype)


class BiLSTM(LSTM):
    """Bidirectional LSTM of `layers` layers: [B, T, inputs] -> [B, T, 2 * hidden], float32."""

    layer_type = BidirectionalLayer
    directions = 2
