"""cuDNN's LSTM on CUDA GPUs, with the weights of `lstm.py`.

All layers, directions and time steps are one call, in float32 (by default in TF32, as any product on such a GPU). It
can be differentiated once, and mapped over its input.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import rnn
from jaxtyping import Array, Float


class Weights(NamedTuple):
    """One layer in one direction of time; G = 4H, gates in the order i, f, g, o."""

    input_kernel: Float[Array, "I G"]
    hidden_kernel: Float[Array, "H G"]
    input_bias: Float[Array, " G"]
    hidden_bias: Float[Array, " G"]


def on_cuda() -> bool:
    """Whether JAX computes on NVIDIA's GPUs."""
    return jax.default_backend() == "gpu" and "cuda" in jax.devices()[0].client.platform_version.lower()


def cudnn_lstm(x: Float[Array, "B T C"], layers: Sequence[Sequence[Weights]]) -> Float[Array, "B T DH"]:
    """The last layer's hidden states, its directions side by side; one or two directions in all layers alike."""
    directions, hidden = len(layers[0]), layers[0][0].hidden_kernel.shape[0]
    # cuDNN's order: the kernels of all layers, transposed, and then their biases.
    in_order = [weights for layer in layers for weights in layer]
    kernels = [kernel.T.ravel() for weights in in_order for kernel in (weights.input_kernel, weights.hidden_kernel)]
    biases = [bias for weights in in_order for bias in (weights.input_bias, weights.hidden_bias)]
    call = _hidden_states(x.shape[-1], hidden, len(layers), directions == 2)
    return call(x.astype(jnp.float32), jnp.concatenate(kernels + biases))


@functools.cache
def _hidden_states(inputs: int, hidden: int, layers: int, bidirectional: bool) -> Callable[[Array, Array], Array]:
    """The call for these sizes. JAX has no `vmap` of it: here that is a call with a larger batch."""

    def call(x: Array, weights: Array) -> Array:
        batch, frames, _ = x.shape
        start = jnp.zeros(((1 + bidirectional) * layers, batch, hidden), jnp.float32)
        lengths = jnp.full((batch,), frames, jnp.int32)
        sizes = (inputs, hidden, layers, 0.0, bidirectional)  # without dropout
        return rnn.lstm(x, start, start, weights, lengths, *sizes)[0]

    mapped = jax.custom_batching.custom_vmap(call)

    @mapped.def_vmap
    def mapped_call(size: int, is_mapped: list[bool], x: Array, weights: Array) -> tuple[Array, bool]:
        if is_mapped[1]:
            raise NotImplementedError("cuDNN's LSTM takes the same weights for a whole batch; use EVC_LSTM=scan here.")
        states = mapped(x.reshape(-1, *x.shape[2:]), weights)
        return states.reshape(*x.shape[:2], *states.shape[1:]), True

    # `custom_vmap` has no gradient of its own.
    made = jax.custom_vjp(mapped)
    made.defvjp(lambda x, weights: jax.vjp(call, x, weights), lambda backward, gradient: backward(gradient))
    return made
