"""WaveGlow from noise to audio, with everything that does not depend on the mel-spectrogram computed beforehand.

The way from a mel frame to what a layer adds to its convolution is linear: upsampling, squeezing into groups, the 1x1
convolution. Where frames hold whole groups it is one matrix for each group of a frame, and these matrices are much
smaller than the intermediate results they make unnecessary; multiplying them out pays once ten seconds of sound have
been made. Otherwise the mel is upsampled, cut to whole groups and squeezed, as in training.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from evc_jax.models.network import pytree_dataclass
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.wavenet import CouplingWeights, couple


@pytree_dataclass
class SynthesisWeights:
    """A WaveGlow as `synthesize` takes it, flow by flow.

    Attributes:
      couplings: their `condition` maps the frames of one frame's groups, [taps * F, groups of a frame * 2W], or with
        `upsample` one group of the upsampled mel, [group_samples * F, 2W].
      unmix: the inverse of each 1x1 convolution [C, C].
      upsample: from the frames of a sample to the upsampled mel of a frame, [taps * F, stride * F], without its bias.
    """

    couplings: tuple[CouplingWeights, ...]
    unmix: tuple[Float[Array, "_ _"], ...]
    upsample: Float[Array, "_ _"] | None = None


def synthesis_weights(
    kernel: Float[Array, "K F F"],
    bias: Float[Array, " F"],
    couplings: tuple[CouplingWeights, ...],
    unmix: tuple[Float[Array, "_ _"], ...],
    config: WaveGlowConfig,
) -> SynthesisWeights:
    """What `synthesize` takes in place of the parameters.

    Args:
      kernel, bias: of the upsampling. Sample n * stride + q depends on frames n, n - 1, ... by taps q, q + stride, ...
      couplings: whose `condition` takes the upsampled, squeezed mel.
      unmix: see `SynthesisWeights`.
      config: the network's.
    """
    bands, stride, taps = config.mel_bands, config.upsample_stride, config.upsample_taps
    phases = jnp.pad(kernel, ((0, taps * stride - len(kernel)), (0, 0), (0, 0)))
    phases = phases.reshape(taps, stride, bands, bands).transpose(0, 2, 1, 3).reshape(taps * bands, stride * bands)
    added = jnp.tile(bias, config.group_samples)
    couplings = tuple(
        dataclasses.replace(
            weights, bias=tuple(own + added @ each for own, each in zip(weights.bias, weights.condition, strict=True))
        )
        for weights in couplings
    )
    if stride % config.group_samples:
        return SynthesisWeights(couplings, unmix, phases)
    folded = tuple(
        dataclasses.replace(weights, condition=tuple(_fold(phases, each) for each in weights.condition))
        for weights in couplings
    )
    return SynthesisWeights(folded, unmix)


def _fold(phases: Float[Array, "K SF"], kernel: Float[Array, "M W"]) -> Float[Array, "K GW"]:
    """Upsampling and a layer's 1x1 convolution as one matrix for the groups of a frame."""
    return jnp.einsum("kgm,mo->kgo", phases.reshape(len(phases), -1, len(kernel)), kernel).reshape(len(phases), -1)


def synthesize(
    weights: SynthesisWeights,
    config: WaveGlowConfig,
    mel: Float[Array, "B T F"],
    noise: tuple[Float[Array, "B G _"], ...],
    sigma: float | Array = 1.0,
) -> Float[Array, "B S"]:
    """Noise to audio, the whole groups of `T * upsample_stride` samples; to be jit-compiled by the caller.

    Args:
      weights: of `WaveGlow.synthesis_weights`, computed once.
      config: the network's.
      noise: of unit variance, in the shapes of `noise_shapes`.
      sigma: standard deviation that the noise is given.
    """
    exact = jnp.promote_types(config.dtype, jnp.float32)  # of the signal, which every flow changes a little
    unmix = [kernel.astype(exact) for kernel in weights.unmix]
    weights = jax.tree.map(lambda leaf: leaf.astype(config.dtype), weights)
    batch, frames, _ = mel.shape
    groups = frames * config.upsample_stride // config.group_samples
    squeezed = _frames_and_before(mel.astype(config.dtype), config.upsample_taps)
    if weights.upsample is not None:
        upsampled = (squeezed @ weights.upsample).reshape(batch, -1, config.mel_bands)
        squeezed = upsampled[:, : groups * config.group_samples].reshape(batch, groups, -1)

    def condition(kernel):
        return (squeezed @ kernel).reshape(batch, groups, -1)

    latest, *earlier = [sigma * part.astype(exact) for part in noise]
    x = latest
    for flow in reversed(range(config.flows)):
        half = config.channels(flow) // 2
        kept, changed = x[..., :half], x[..., half:]
        coupled = couple(weights.couplings[flow], kept.astype(config.dtype), condition).astype(exact)
        bias, log_s = jnp.split(coupled, 2, axis=-1)
        x = jnp.concatenate([kept, (changed - bias) * jnp.exp(-log_s)], axis=-1) @ unmix[flow]
        if config.leaves_early(flow):
            x = jnp.concatenate([earlier.pop(0), x], axis=-1)
    return x.reshape(batch, -1)


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
