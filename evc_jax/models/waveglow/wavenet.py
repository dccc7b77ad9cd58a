"""The arithmetic of WaveGlow's coupling networks, in as few operations as give the same numbers.

The original's layers are linear maps in a row here and there: what enters a network and its first convolution, what
leaves each layer towards the end and the end itself. Their kernels are small, so the maps are multiplied before they
meet the data. That saves a seventh of the training's operations and a quarter of the synthesis's.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from evc_jax.models import conv_matmul
from evc_jax.models.layers import conv1d
from evc_jax.models.network import pytree_dataclass


@pytree_dataclass
class CouplingWeights:
    """Kernels of one coupling network; H = half the channels and a constant one, W = width, L layers.

    Attributes:
      enter: to the first hidden state [H, W].
      dilated: each layer's convolution, [K, H, 2W] in the first, whose input is what enters, [K, W, 2W] in the others.
      condition: of each layer's input from the mel [M, 2W].
      bias: of these two together [2W].
      mix: each layer's way out [W, W + O]: to the next hidden state, which the last layer lacks, and to the result.
      mix_bias: likewise [W + O].
      end_bias: of the result [O].
    """

    enter: Float[Array, "H W"]
    dilated: tuple[Float[Array, "_ _ _"], ...]
    condition: tuple[Float[Array, "_ _"], ...]
    bias: tuple[Float[Array, " _"], ...]
    mix: tuple[Float[Array, "_ _"], ...]
    mix_bias: tuple[Float[Array, " _"], ...]
    end_bias: Float[Array, " O"]


def couple(
    weights: CouplingWeights, x: Float[Array, "B G C"], condition: Callable[[Array], Array]
) -> Float[Array, "B G O"]:
    """What a coupling network makes of half the channels: the other half's [b, log s].

    Args:
      weights: in the type the arithmetic is to run in, as is `x`.
      condition: what a layer gets of the mel [B, G, 2W], given its kernel of `weights.condition`.
    """
    x = jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)
    hidden, result = x @ weights.enter, weights.end_bias
    for layer, (kernel, mix) in enumerate(zip(weights.dilated, weights.mix, strict=True)):
        if layer == 0:
            local = conv_matmul.conv1d(x, kernel, padding=len(kernel) // 2)
        else:
            reach = 2**layer * (len(kernel) // 2)
            local = conv1d(hidden, kernel, padding=reach, dilation=2**layer)
        signal, gate = jnp.split(local + condition(weights.condition[layer]) + weights.bias[layer], 2, axis=-1)
        mixed = (jnp.tanh(signal) * _sigmoid(gate)) @ mix + weights.mix_bias[layer]
        width = mix.shape[1] - weights.end_bias.shape[0]
        if width:
            hidden = hidden + mixed[..., :width]
        result = result + mixed[..., width:]
    return result


def _sigmoid(x: Array) -> Array:
    """The logistic function by way of tanh, which XLA computes several times faster than exp and a division."""
    return 0.5 * jnp.tanh(0.5 * x) + 0.5
