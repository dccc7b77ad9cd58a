"""Convolutions over short sequences as matrix products.

They compute what those of `evc_jax.models.layers` do, from the same parameters. Their derivatives of any order are
matrix products again, where those of a strided or grouped convolution are dilated ones, for which XLA has no fast code
on processors. Every tap costs a copy of the input: of no weight next to a product with many channels.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from evc_jax.models import layers


def conv1d(
    x: Float[Array, "B T C"],
    kernel: Float[Array, "W I O"],
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Float[Array, "B T2 O"]:
    """`layers.conv1d` with the same padding on both sides."""
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


def conv_transpose1d(
    x: Float[Array, "B T I"], kernel: Float[Array, "W I O"], *, stride: int, padding: int = 0
) -> Float[Array, "B T2 O"]:
    """Transposed convolution; `T2 = (T - 1) * stride + W - 2 * padding`.

    Each frame's contributions to the output, `stride` frames of it at a time, are added where they overlap.
    """
    (batch, frames, inputs), (width, _, outputs) = x.shape, kernel.shape
    blocks = -(-width // stride)
    kernel = jnp.pad(kernel, ((0, blocks * stride - width), (0, 0), (0, 0)))
    contributions = x @ kernel.swapaxes(0, 1).reshape(inputs, -1)
    shifted = (
        jnp.pad(part, ((0, 0), (block, blocks - 1 - block), (0, 0)))
        for block, part in enumerate(jnp.split(contributions, blocks, axis=-1))
    )
    y = sum(shifted).reshape(batch, -1, outputs)
    return y[:, padding : padding + (frames - 1) * stride + width - 2 * padding]


class Conv1d(layers.Conv1d):
    """`layers.Conv1d` as a matrix product."""

    def __call__(self, x: Float[Array, "B T I"]) -> Float[Array, "B T2 O"]:
        kernel, bias = self.kernel[...].astype(self.dtype), self.bias[...].astype(self.dtype)
        sizes = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}
        return conv1d(x.astype(self.dtype), kernel, **sizes) + bias


class ConvTranspose1d(layers.ConvTranspose1d):
    """`layers.ConvTranspose1d` as a matrix product."""

    def __call__(self, x: Float[Array, "B T I"]) -> Float[Array, "B T2 O"]:
        kernel, bias = self.kernel[...].astype(self.dtype), self.bias[...].astype(self.dtype)
        return conv_transpose1d(x.astype(self.dtype), kernel, stride=self.stride, padding=self.padding) + bias
