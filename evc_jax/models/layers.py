"""Building blocks in the layout [B, T, C], with PyTorch's default initialization.

Parameters are float32; `dtype` is what the arithmetic runs in. Normalization statistics are float32 at least.

Sources: group normalization (Wu and He 2018, arXiv 1803.08494), instance normalization (Ulyanov et al. 2016, arXiv
1607.08022), weight normalization (Salimans and Kingma 2016, arXiv 1602.07868), Glorot and Bengio 2010 for the gain.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from evc_jax.models.network import KeySequence, uniform

NORM_EPSILON = 1e-5


def kernel_and_bias(
    keys: KeySequence, shape: tuple[int, ...], gain: float | None = None
) -> tuple[nnx.Param, nnx.Param]:
    """A kernel of `shape` [..., I, O], Glorot-uniform when `gain` is given, else PyTorch's default; and its bias."""
    fan_in, fan_out = math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1]
    bound = 1.0 / math.sqrt(fan_in)
    kernel_bound = bound if gain is None else gain * math.sqrt(6.0 / (fan_in + fan_out))
    return uniform(keys, shape, kernel_bound), uniform(keys, shape[-1:], bound)


def conv1d(
    x: Float[Array, "B T C"],
    kernel: Float[Array, "W I O"],
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Float[Array, "B T2 O"]:
    """Convolution over time; `T2 = (T + 2 * padding - dilation * (W - 1) - 1) // stride + 1`."""
    if stride == groups == 1 and jax.default_backend() == "cpu":
        return _conv1d_on_cpu(x, kernel, padding, dilation)
    return _conv1d(x, kernel, stride, padding, dilation, groups)


def _conv1d(x: Array, kernel: Array, stride: int, padding: int, dilation: int, groups: int) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride,),
        padding=((padding, padding),),
        rhs_dilation=(dilation,),
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=groups,
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv1d_on_cpu(x: Array, kernel: Array, padding: int, dilation: int) -> Array:
    """Convolution of stride 1 whose gradients are convolutions of stride 1, too.

    XLA's own gradients of a convolution are fast on CPUs outside of loops only; in a loop over micro-batches they take
    ten times as long.
    """
    return _conv1d(x, kernel, 1, padding, dilation, 1)


def _conv1d_forward(x, kernel, padding, dilation):
    return _conv1d_on_cpu(x, kernel, padding, dilation), (x, kernel)


def _conv1d_backward(padding, dilation, residuals, gradient):
    x, kernel = residuals
    back = dilation * (len(kernel) - 1) - padding
    x_gradient = _conv1d_on_cpu(gradient, kernel[::-1].swapaxes(1, 2), back, dilation)
    # Channels take the place of the batch, and the other way round.
    turned = _conv1d(x.transpose(2, 1, 0), gradient.transpose(1, 0, 2), dilation, padding, 1, 1)
    return x_gradient, turned.swapaxes(0, 1)


_conv1d_on_cpu.defvjp(_conv1d_forward, _conv1d_backward)


class Stack(nnx.Module):
    """A sequence of modules under the names "0", "1", ...; string keys survive any checkpoint format."""

    def __init__(self, modules: list[Any]):
        self.size = len(modules)
        for index, module in enumerate(modules):
            setattr(self, str(index), module)

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, str(index)) for index in range(self.size))

    def __len__(self) -> int:
        return self.size


class Linear(nnx.Module):
    """`x @ kernel + bias`; Glorot-uniform weights when `gain` is given, else PyTorch's default."""

    def __init__(
        self, inputs: int, outputs: int, *, keys: KeySequence, gain: float | None = None, dtype: str = "float32"
    ):
        self.kernel, self.bias = kernel_and_bias(keys, (inputs, outputs), gain)
        self.dtype = jnp.dtype(dtype)

    def __call__(self, x: Float[Array, "*B I"]) -> Float[Array, "*B O"]:
        return x.astype(self.dtype) @ self.kernel[...].astype(self.dtype) + self.bias[...].astype(self.dtype)


class Conv1d(nnx.Module):
    """Convolution over time, kernel [W, I / groups, O]; `padding=None` keeps the length (odd kernels, stride 1)."""

    convolve = staticmethod(conv1d)

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        keys: KeySequence,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
        gain: float | None = None,
        dtype: str = "float32",
    ):
        self.kernel, self.bias = kernel_and_bias(keys, (kernel, inputs // groups, outputs), gain)
        self.stride, self.dilation, self.groups = stride, dilation, groups
        self.padding = dilation * (kernel - 1) // 2 if padding is None else padding
        self.dtype = jnp.dtype(dtype)

    def __call__(self, x: Float[Array, "B T I"]) -> Float[Array, "B T2 O"]:
        kernel, bias = self.kernel[...].astype(self.dtype), self.bias[...].astype(self.dtype)
        sizes = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}
        return self.convolve(x.astype(self.dtype), kernel, **sizes) + bias


class WeightNormConv1d(nnx.Module):
    """ "Same" convolution whose kernel is `scale * direction / |direction|`, the norm per output channel.

    Source: Salimans and Kingma, arXiv 1602.07868, equation 2.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, keys: KeySequence, dilation: int = 1, dtype: str = "float32"
    ):
        self.direction, self.bias = kernel_and_bias(keys, (kernel, inputs, outputs))
        self.scale = nnx.Param(jnp.sqrt(jnp.sum(self.direction[...] ** 2, axis=(0, 1))))
        self.dilation = dilation
        self.padding = dilation * (kernel - 1) // 2
        self.dtype = jnp.dtype(dtype)

    def kernel(self) -> Float[Array, "W I O"]:
        """The normalized kernel."""
        direction = self.direction[...]
        # One axis to sum over: XLA's CPU backend needs up to thirty times as long for the gradient of a sum over two.
        columns = direction.reshape(-1, direction.shape[-1])
        norm = jnp.sqrt(jnp.sum(columns**2, axis=0))
        return (columns * (self.scale[...] / norm)).reshape(direction.shape)

    def __call__(self, x: Float[Array, "B T I"]) -> Float[Array, "B T O"]:
        kernel = self.kernel().astype(self.dtype)
        y = conv1d(x.astype(self.dtype), kernel, padding=self.padding, dilation=self.dilation)
        return y + self.bias[...].astype(self.dtype)


class GroupNorm(nnx.Module):
    """Normalizes each sample over time and the channels of a group (Wu and He, arXiv 1803.08494)."""

    def __init__(self, channels: int, groups: int):
        self.scale = nnx.Param(jnp.ones((channels,)))
        self.bias = nnx.Param(jnp.zeros((channels,)))
        self.groups = groups

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        batch, frames, channels = x.shape
        grouped = x.reshape(batch, frames, self.groups, channels // self.groups)
        y = standardize(grouped, axes=(1, 3)).reshape(x.shape)
        return (y * self.scale[...] + self.bias[...]).astype(x.dtype)


class InstanceNorm(nnx.Module):
    """Normalizes each sample's channels over time, with a trained scale and bias."""

    def __init__(self, channels: int):
        self.scale = nnx.Param(jnp.ones((channels,)))
        self.bias = nnx.Param(jnp.zeros((channels,)))

    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T C"]:
        return (standardize(x, axes=(1,)) * self.scale[...] + self.bias[...]).astype(x.dtype)


def standardize(x: Array, axes: tuple[int, ...]) -> Array:
    """Zero mean and unit (biased) variance over `axes`, in float32 at least."""
    x = at_least_float32(x)
    centred = x - x.mean(axes, keepdims=True)
    variance = jnp.mean(centred**2, axes, keepdims=True)
    return centred * lax.rsqrt(variance + NORM_EPSILON)


def at_least_float32(x: Array) -> Array:
    """`x` in float32, or as it is where that is wider: float64 serves to tell rounding from real differences."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
