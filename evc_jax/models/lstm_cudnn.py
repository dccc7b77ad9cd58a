"""cuDNN's LSTM on CUDA GPUs, with the weights of `lstm.py`.

All layers, directions and time steps are one call, in float32 (by default in TF32, as any product on such a GPU). It
can be differentiated once.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    (batch, frames, inputs), directions = x.shape, len(layers[0])
    hidden = layers[0][0].hidden_kernel.shape[0]
    start = jnp.zeros((directions * len(layers), batch, hidden), jnp.float32)
    lengths = jnp.full((batch,), frames, jnp.int32)
    # cuDNN's order: the kernels of all layers, transposed, and then their biases.
    in_order = [weights for layer in layers for weights in layer]
    kernels = [kernel.T.ravel() for weights in in_order for kernel in (weights.input_kernel, weights.hidden_kernel)]
    biases = [bias for weights in in_order for bias in (weights.input_bias, weights.hidden_bias)]
    sizes = (inputs, hidden, len(layers), 0.0, directions == 2)  # without dropout
    return rnn.lstm(x.astype(jnp.float32), start, start, jnp.concatenate(kernels + biases), lengths, *sizes)[0]
