"""LSTMs with PyTorch's parametrisation (gates i, f, g, o; two biases), fast on every backend.

The input projection is one large product before the scan, and the weight gradient one after it: inside the scan
remains the product with the recurrent weights alone. The two biases are kept apart although only their sum
matters, because an optimiser with per-parameter step sizes moves two biases twice as far as one.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

UNROLL = 8


def _cell_activations(pre: Array) -> Array:
    """All four gates by one tanh: sigmoid(x) = (tanh(x / 2) + 1) / 2. pre [B, 4H] -> the same, activated."""
    hidden = pre.shape[-1] // 4
    half = jnp.array([0.5, 0.5, 1.0, 0.5], pre.dtype).repeat(hidden)
    return jnp.tanh(pre * half) * half + (1.0 - half)


def _recur(projected: Array, recurrent: Array) -> tuple[Array, Array, Array]:
    """Runs the recurrence forwards: [T, B, 4H], [H, 4H] -> hidden [T, B, H], cell [T, B, H], gates [T, B, 4H]."""
    hidden_size = recurrent.shape[0]
    start = jnp.zeros((projected.shape[1], hidden_size), projected.dtype)

    def step(carry, projection):
        hidden, cell = carry
        product = jnp.dot(hidden.astype(recurrent.dtype), recurrent, preferred_element_type=projected.dtype)
        gates = lax.optimization_barrier(_cell_activations(projection + product))
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        cell = f * cell + i * g
        hidden = o * jnp.tanh(cell)
        return (hidden, cell), (hidden, cell, gates)

    _, outputs = lax.scan(step, (start, start), projected, unroll=UNROLL)
    return outputs


@jax.custom_vjp
def lstm_scan(projected: Float[Array, "T B G"], recurrent: Float[Array, "H G"]) -> Float[Array, "T B H"]:
    """The recurrence of one direction, from zero state.

    Args:
      projected: input projection plus biases, gates in the order i, f, g, o; G = 4H, float32 or wider.
      recurrent: recurrent weights, in the type the products are to run in.

    Returns:
      hidden states, in the type of `projected`.
    """
    return _recur(projected, recurrent)[0]


def _forward(projected, recurrent):
    hidden, cell, gates = _recur(projected, recurrent)
    return hidden, (hidden, cell, gates, recurrent)


def _backward(residuals, hidden_gradient):
    hidden, cell, gates, recurrent = residuals
    before = jnp.concatenate([jnp.zeros_like(cell[:1]), cell[:-1]])
    transposed = recurrent.T

    def step(carry, inputs):
        from_next, cell_gradient = carry
        gradient, gate, cell_before, cell_now = inputs
        i, f, g, o = jnp.split(gate, 4, axis=-1)
        total = gradient + from_next
        squashed = jnp.tanh(cell_now)
        cell_gradient = cell_gradient + total * o * (1.0 - squashed**2)
        pre = jnp.concatenate(
            [
                cell_gradient * g * i * (1.0 - i),
                cell_gradient * cell_before * f * (1.0 - f),
                cell_gradient * i * (1.0 - g**2),
                total * squashed * o * (1.0 - o),
            ],
            axis=-1,
        )
        pre = lax.optimization_barrier(pre)
        from_next = jnp.dot(pre.astype(transposed.dtype), transposed, preferred_element_type=pre.dtype)
        return (from_next, cell_gradient * f), pre

    start = (jnp.zeros_like(hidden[0]), jnp.zeros_like(cell[0]))
    _, projected_gradient = lax.scan(
        step, start, (hidden_gradient, gates, before, cell), reverse=True, unroll=UNROLL
    )
    earlier = hidden[:-1].astype(recurrent.dtype)
    later = projected_gradient[1:].astype(recurrent.dtype)
    recurrent_gradient = jnp.einsum("tbh,tbg->hg", earlier, later, preferred_element_type=hidden.dtype)
    return projected_gradient, recurrent_gradient.astype(recurrent.dtype)


lstm_scan.defvjp(_forward, _backward)


class Direction(nnx.Module):
    """One layer of an LSTM in one direction of time."""

    def __init__(self, inputs: int, hidden: int, *, rngs: nnx.Rngs, reverse: bool = False, dtype: str = "float32"):
        bound = 1.0 / math.sqrt(hidden)
        draw = functools.partial(jax.random.uniform, minval=-bound, maxval=bound)
        self.input_kernel = nnx.Param(draw(rngs.params(), (inputs, 4 * hidden)))
        self.hidden_kernel = nnx.Param(draw(rngs.params(), (hidden, 4 * hidden)))
        self.input_bias = nnx.Param(draw(rngs.params(), (4 * hidden,)))
        self.hidden_bias = nnx.Param(draw(rngs.params(), (4 * hidden,)))
        self.reverse = reverse
        self.dtype = jnp.dtype(dtype)

    def __call__(self, x: Float[Array, "T B C"]) -> Float[Array, "T B H"]:
        kernel = self.input_kernel[...].astype(self.dtype)
        sums = jnp.promote_types(self.dtype, jnp.float32)
        projected = jnp.dot(x.astype(self.dtype), kernel, preferred_element_type=sums)
        projected = projected + (self.input_bias[...] + self.hidden_bias[...])
        if self.reverse:
            projected = projected[::-1]
        hidden = lstm_scan(projected, self.hidden_kernel[...].astype(self.dtype))
        return hidden[::-1] if self.reverse else hidden


class BidirectionalLayer(nnx.Module):
    """A forward and a backward direction side by side; outputs are concatenated in that order."""

    def __init__(self, inputs: int, hidden: int, *, rngs: nnx.Rngs, dtype: str = "float32"):
        self.forward = Direction(inputs, hidden, rngs=rngs, dtype=dtype)
        self.backward = Direction(inputs, hidden, rngs=rngs, reverse=True, dtype=dtype)

    def __call__(self, x: Float[Array, "T B C"]) -> Float[Array, "T B H2"]:
        return jnp.concatenate([self.forward(x), self.backward(x)], axis=-1)


class _Layers(nnx.Module):
    """Layers named "0", "1", ... run one after the other, time outermost."""

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T H"]:
        x = x.swapaxes(0, 1)
        for index in range(self.depth):
            x = getattr(self, str(index))(x)
        return x.swapaxes(0, 1)


class LSTM(_Layers):
    """Unidirectional LSTM of `layers` layers: [B, T, inputs] -> [B, T, hidden], float32."""

    def __init__(self, inputs: int, hidden: int, *, rngs: nnx.Rngs, layers: int = 1, dtype: str = "float32"):
        self.depth = layers
        for index in range(layers):
            setattr(self, str(index), Direction(inputs if index == 0 else hidden, hidden, rngs=rngs, dtype=dtype))


class BiLSTM(_Layers):
    """Bidirectional LSTM of `layers` layers: [B, T, inputs] -> [B, T, 2 * hidden], float32."""

    def __init__(self, inputs: int, hidden: int, *, rngs: nnx.Rngs, layers: int = 1, dtype: str = "float32"):
        self.depth = layers
        for index in range(layers):
            width = inputs if index == 0 else 2 * hidden
            setattr(self, str(index), BidirectionalLayer(width, hidden, rngs=rngs, dtype=dtype))
