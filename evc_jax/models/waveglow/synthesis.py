"""WaveGlow from noise to audio, with everything that does not depend on the mel-spectrogram computed beforehand.

The way from a mel frame to what a layer adds to its convolution is linear: upsampling, squeezing into groups, the 1x1
convolution. It is one matrix for each position of a group within a frame, and these matrices are much smaller than the
intermediate results they make unnecessary; multiplying them out pays once ten seconds of sound have been made.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from evc_jax.models.layers import at_least_float32
from evc_jax.models.network import pytree_dataclass
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.wavenet import CouplingWeights, couple


@pytree_dataclass
class SynthesisWeights:
    """A WaveGlow as `synthesize` takes it, flow by flow.

    Attributes:
      couplings: their `condition` maps what one frame's groups hear, [taps * F, groups of a frame * 2W].
      unmix: the inverse of each 1x1 convolution [C, C].
    """

    couplings: tuple[CouplingWeights, ...]
    unmix: tuple[Float[Array, "_ _"], ...]


def fold_condition(
    kernel: Float[Array, "K F F"], bias: Float[Array, " F"], config: WaveGlowConfig, weights: CouplingWeights
) -> CouplingWeights:
    """The same coupling network, hearing mel frames instead of the upsampled mel.

    Args:
      kernel, bias: of the upsampling. Sample n * stride + q hears frames n, n - 1, ... by taps q, q + stride, ...
      config: whose `upsample_stride` and `group_samples` count.
      weights: whose `condition` is to be folded.
    """
    bands, samples, taps = config.mel_bands, config.group_samples, config.upsample_taps
    groups = config.upsample_stride // samples
    phases = jnp.pad(kernel, ((0, taps * config.upsample_stride - len(kernel)), (0, 0), (0, 0)))
    phases = phases.reshape(taps, groups, samples, bands, bands).transpose(0, 3, 1, 2, 4)
    phases = phases.reshape(taps * bands, groups, samples * bands)
    heard = jnp.tile(bias, samples)
    return dataclasses.replace(
        weights,
        condition=tuple(jnp.einsum("kgm,mo->kgo", phases, each).reshape(len(phases), -1) for each in weights.condition),
        bias=tuple(own + heard @ each for own, each in zip(weights.bias, weights.condition, strict=True)),
    )


def synthesize(
    weights: SynthesisWeights,
    config: WaveGlowConfig,
    mel: Float[Array, "B T F"],
    noise: tuple[Float[Array, "B G _"], ...],
    sigma: float | Array = 1.0,
) -> Float[Array, "B S"]:
    """Noise to audio, `S = T * upsample_stride`; to be jit-compiled by the caller.

    Args:
      weights: of `WaveGlow.synthesis_weights`, computed once.
      config: the network's.
      noise: as `draw_noise` makes it, of unit variance.
      sigma: standard deviation that the noise is given.
    """
    weights = jax.tree.map(lambda leaf: leaf.astype(config.dtype), weights)
    batch, frames, _ = mel.shape
    groups = frames * config.upsample_stride // config.group_samples
    heard = _frames_and_before(mel.astype(config.dtype), config.upsample_taps)

    def condition(kernel):
        return (heard @ kernel).reshape(batch, groups, -1)

    latest, *earlier = [sigma * part.astype(config.dtype) for part in noise]
    x = latest
    for flow in reversed(range(config.flows)):
        half = config.channels(flow) // 2
        kept, changed = x[..., :half], x[..., half:]
        bias, log_s = jnp.split(couple(weights.couplings[flow], kept, condition), 2, axis=-1)
        x = jnp.concatenate([kept, (changed - bias) * jnp.exp(-log_s)], axis=-1) @ weights.unmix[flow]
        if config.leaves_early(flow):
            x = jnp.concatenate([earlier.pop(0), x], axis=-1)
    return at_least_float32(x.reshape(batch, -1))


def _frames_and_before(mel: Float[Array, "B T F"], taps: int) -> Float[Array, "B T C"]:
    """Each frame, the one before it, and so on; zeros before the first."""
    padded = jnp.pad(mel, ((0, 0), (taps - 1, 0), (0, 0)))
    return jnp.concatenate([padded[:, taps - 1 - tap :][:, : mel.shape[1]] for tap in range(taps)], axis=-1)


def noise_shapes(config: WaveGlowConfig, batch: int, frames: int) -> tuple[tuple[int, int, int], ...]:
    """Shapes [B, G, C] of the noise that `synthesize` takes: the last flow's, then what joins on the way back."""
    groups = frames * config.upsample_stride // config.group_samples
    joins = sum(config.leaves_early(flow) for flow in range(config.flows)) if config.early_channels else 0
    widths = [config.channels(config.flows - 1)] + [config.early_channels] * joins
    return tuple((batch, groups, width) for width in widths)


def draw_noise(
    key: Key[Array, ""], config: WaveGlowConfig, batch: int, frames: int
) -> tuple[Float[Array, "B G _"], ...]:
    """Standard normal noise for `synthesize`."""
    shapes = noise_shapes(config, batch, frames)
    return tuple(jax.random.normal(jax.random.fold_in(key, i), shape) for i, shape in enumerate(shapes))
