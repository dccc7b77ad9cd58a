"""Convolutions as matrix products.

Their derivatives of any order are matrix products, too. The derivatives of a strided, grouped or transposed convolution
are dilated convolutions, for which XLA has no fast code on CPUs. `Conv1d` computes the same as `layers.Conv1d` from the
same parameters and suits short sequences: every tap costs a copy of the input, which is little beside a product with
many channels. `ConvTranspose1d` has no counterpart in `layers`.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from evc_jax.models import layers
from evc_jax.models.network import KeySequence, uniform


def conv1d(
    x: Float[Array, "B T C"],
    kernel: Float[Array, "W I O"],
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Float[Array, "B T2 O"]:
    """The same as `layers.conv1d`."""
    width, inputs, outputs = kernel.shape
    x = jnp.pad(x, ((0, 0), (padding, padding), (0, 0)))
    span = x.shape[1] - dilation * (width - 1)
    starts = (tap * dilation for tap in range(width))
    windows = jnp.stack([x[:, start : start + span : stride] for start in starts], axis=2)  # [B, T2, W, C]
    batch, frames = windows.shape[:2]
    if groups == 1:
        return windows.reshape(batch, frames, -1) @ kernel.reshape(-1, outputs)
    windows = windows.reshape(batch, frames, width, groups, inputs)
    kernel = kernel.reshape(width, inputs, groups, outputs // groups)
    return jnp.einsum("btwgi,wigo->btgo", windows, kernel).reshape(batch, frames, outputs)


class Conv1d(layers.Conv1d):
    """`layers.Conv1d` as a matrix product."""

    convolve = staticmethod(conv1d)


class ConvTranspose1d(nnx.Module):
    """Transposed convolution over time, kernel [W, I, O]; output `(T - 1) * stride + W - 2 * padding` frames.

    Computed as an ordinary convolution that yields `stride` output frames at a time (its polyphase form): with
    strides in the hundreds the zero-stuffed form would multiply almost nothing but zeros.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int,
        keys: KeySequence,
        padding: int = 0,
        dtype: str = "float32",
    ):
        bound = 1.0 / math.sqrt(outputs * kernel)
        self.kernel = uniform(keys, (kernel, inputs, outputs), bound)
        self.bias = uniform(keys, (outputs,), bound)
        self.stride, self.padding = stride, padding
        self.dtype = jnp.dtype(dtype)

    def __call__(self, x: Float[Array, "B T I"]) -> Float[Array, "B T2 O"]:
        width, inputs, outputs = self.kernel.shape
        taps = -(-width // self.stride)
        kernel = jnp.pad(self.kernel[...], ((0, taps * self.stride - width), (0, 0), (0, 0))).astype(self.dtype)
        phases = kernel.reshape(taps, self.stride, inputs, outputs)[::-1]
        phases = phases.transpose(0, 2, 1, 3).reshape(taps, inputs, self.stride * outputs)
        y = conv1d(x.astype(self.dtype), phases, padding=taps - 1)
        y = y.reshape(x.shape[0], -1, outputs)
        length = (x.shape[1] - 1) * self.stride + width - 2 * self.padding
        return y[:, self.padding : self.padding + length] + self.bias[...].astype(self.dtype)
