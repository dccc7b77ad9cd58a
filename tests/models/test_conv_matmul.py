"""Convolutions as matrix products are convolutions, and so are their derivatives of both orders."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from evc_jax.models import conv_matmul, layers
from evc_jax.models.network import KeySequence

BATCH, FRAMES, CHANNELS, OUTPUTS = 2, 11, 6, 12


def _assert_same(module, reference, x):
    """Outputs, gradients, and the gradient of a gradient penalty, for the same parameters."""
    params = nnx.state(reference, nnx.Param)
    graphs = [nnx.split(each)[0] for each in (module, reference)]

    def penalty(params, x, graph):
        y, pull = jax.vjp(nnx.merge(graph, params), x)
        return jnp.sum(pull(jnp.cos(y))[0] ** 2) + y.sum(), y

    compute = jax.jit(jax.value_and_grad(penalty, argnums=(0, 1), has_aux=True), static_argnums=2)
    actual, expected = (compute(params, x, graph) for graph in graphs)
    for mine, theirs in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kernel", "sizes"),
    [
        (1, {}),
        (7, {}),
        (2, {"stride": 2, "padding": 0}),
        (4, {"stride": 2, "padding": 1}),
        (3, {"stride": 5, "padding": 0}),
        (3, {"dilation": 4}),
        (3, {"groups": 2}),
        (2, {"stride": 2, "padding": 0, "groups": 3}),
    ],
)
def test_convolution(kernel, sizes):
    kinds = conv_matmul.Conv1d, layers.Conv1d
    module, reference = (kind(CHANNELS, OUTPUTS, kernel, keys=KeySequence(0), **sizes) for kind in kinds)
    _assert_same(module, reference, jax.random.normal(jax.random.key(1), (BATCH, FRAMES, CHANNELS)))


class ZeroStuffed(conv_matmul.ConvTranspose1d):
    """The same from the definition: zeros between the frames, then the kernel backwards over them."""

    def __call__(self, x):
        width = self.kernel.shape[0]
        y = jax.lax.conv_general_dilated(
            x, self.kernel[...][::-1], (1,), [(width - 1 - self.padding,) * 2],
            lhs_dilation=(self.stride,), dimension_numbers=("NWC", "WIO", "NWC"), precision="highest",
        )  # fmt: skip
        return y + self.bias[...]


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(4, 2, 1), (3, 2, 0), (5, 1, 2), (2, 3, 0)])
def test_transposed_convolution(kernel, stride, padding):
    kinds = conv_matmul.ConvTranspose1d, ZeroStuffed
    sizes = {"stride": stride, "padding": padding, "keys": KeySequence(0)}
    module, reference = (kind(CHANNELS, OUTPUTS, kernel, **sizes) for kind in kinds)
    _assert_same(module, reference, jax.random.normal(jax.random.key(1), (BATCH, FRAMES, CHANNELS)))


def test_half_precision_stays_half():
    for kind, sizes in ((conv_matmul.Conv1d, {}), (conv_matmul.ConvTranspose1d, {"stride": 2})):
        module = kind(CHANNELS, OUTPUTS, 3, dtype="bfloat16", keys=KeySequence(0), **sizes)
        assert module(jnp.ones((BATCH, FRAMES, CHANNELS))).dtype == jnp.bfloat16
