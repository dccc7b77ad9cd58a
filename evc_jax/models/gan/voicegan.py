"""VoiceGAN: speaker embeddings of a requested sex from noise.

Sources: the network is emo-clone's (github.com/alexbrx/emo-clone, 2020, `cvoicegan/model_wgan.py`): a Wasserstein GAN
with gradient penalty (Gulrajani et al. 2017, arXiv 1704.00028, algorithm 1) whose critic also classifies, as in Odena
et al. 2016, arXiv 1610.09585, and in StarGAN. Its embeddings are those of GE2E (Wan et al. 2017, arXiv 1710.10467).
"""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float

from evc_jax.errors import ConfigError
from evc_jax.models.gan.losses import DiscriminatorOutput
from evc_jax.models.layers import Linear, Stack, at_least_float32
from evc_jax.models.network import KeySequence

LEAKY_SLOPE = 0.02
MIN_NORM = 1e-12  # of PyTorch's `normalize`


@dataclasses.dataclass(frozen=True)
class VoiceGANConfig:
    """Sizes of generator and discriminator; the defaults are the reference's.

    Attributes:
      noise_dim: length of the noise vector.
      embedding_dim: length of a speaker embedding.
      sexes: number of sexes.
      generator_widths: widths of the generator's hidden layers.
      discriminator_widths: widths of the discriminator's hidden layers.
      dtype: type of the arithmetic; parameters and results stay float32.
    """

    noise_dim: int = 256
    embedding_dim: int = 256
    sexes: int = 2
    generator_widths: tuple[int, ...] = (1024, 1024)
    discriminator_widths: tuple[int, ...] = (1024, 1024)
    dtype: str = "float32"

    def __post_init__(self):
        for name in ("noise_dim", "embedding_dim", "sexes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1.")
        for name in ("generator_widths", "discriminator_widths"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least one positive width.")


class VoiceGenerator(nnx.Module):
    """Noise and a sex to a non-negative speaker embedding of unit length."""

    def __init__(self, config: VoiceGANConfig, *, keys: KeySequence):
        widths = (config.noise_dim + config.sexes, *config.generator_widths, config.embedding_dim)
        self.layers = _linears(widths, config.dtype, keys)

    def __call__(self, noise: Float[Array, "B N"], sex_onehot: Float[Array, "B K"]) -> Float[Array, "B E"]:
        *hidden, last = self.layers
        x = jnp.concatenate([noise, sex_onehot], axis=-1)
        for layer in hidden:
            x = jax.nn.leaky_relu(layer(x), LEAKY_SLOPE)
        x = at_least_float32(jax.nn.relu(last(x)))
        return x / optax.safe_norm(x, MIN_NORM, axis=-1, keepdims=True)


class VoiceDiscriminator(nnx.Module):
    """Whether an embedding is real, and of which sex it is."""

    def __init__(self, config: VoiceGANConfig, *, keys: KeySequence):
        widths = (config.embedding_dim, *config.discriminator_widths)
        self.layers = _linears(widths, config.dtype, keys)
        self.source = Linear(widths[-1], 1, dtype=config.dtype, keys=keys)
        self.classes = Linear(widths[-1], config.sexes, dtype=config.dtype, keys=keys)

    def __call__(self, embedding: Float[Array, "B E"]) -> DiscriminatorOutput:
        x = embedding
        for layer in self.layers:
            x = jax.nn.leaky_relu(layer(x), LEAKY_SLOPE)
        return DiscriminatorOutput(at_least_float32(self.source(x)), at_least_float32(self.classes(x)))


def _linears(widths: tuple[int, ...], dtype: str, keys: KeySequence) -> Stack:
    return Stack([Linear(a, b, dtype=dtype, keys=keys) for a, b in itertools.pairwise(widths)])
