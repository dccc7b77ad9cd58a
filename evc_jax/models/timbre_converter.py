"""Timbre conversion: how the spectral envelope of a recording changes for it to sound like another speaker.

The network gives a change in dB, not a spectrum: the recording itself is filtered and keeps its articulation and its
noise. The change is the sum of a frequency warp of the recording's envelope, a filter that is constant over the
recording and a smaller filter that follows its frames. All three are spanned by the lowest cosines over the mel bands,
which resolve formants but no harmonics.

Sources: differential-spectrum conversion after Kobayashi et al. 2014 and arXiv 1907.11898; feature-wise affine
conditioning after Perez et al. 2017, arXiv 1709.07871.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import slaney_centres_hz
from evc_jax.errors import ConfigError
from evc_jax.models.layers import Conv1d, Linear, Stack, at_least_float32
from evc_jax.models.network import KeySequence, pytree_dataclass

EMBEDDING_SCALE = 16.0  # embeddings are of unit length over 256 values
DISTANT_COSINE = 0.5
KERNEL = 5


@dataclasses.dataclass(frozen=True)
class TimbreConverterConfig:
    """Sizes and bounds of the timbre converter.

    Attributes:
      mel_bands: F of the log-mel spectrogram.
      embedding_dim: length of a speaker embedding.
      cosines: cosines over the mel bands that the change consists of.
      width: channels of the convolutions, and of the layers that read the embeddings.
      blocks: dilated convolutions; block i has dilation 2**i.
      mel_range_db: decibels of a log-mel difference of 1.
      warp_per_register: the warp, as the logarithm of a frequency ratio, per logarithm of the F0's ratio: speakers who
        speak higher have shorter vocal tracts.
      largest_warp: bound of what the network adds to that.
      largest_constant_db, largest_varying_db: bounds of each cosine of the constant filter and of the other.
      dtype: type of the arithmetic; parameters and results stay float32.
    """

    mel_bands: int = 80
    embedding_dim: int = 256
    cosines: int = 24
    width: int = 128
    blocks: int = 4
    mel_range_db: float = 100.0
    warp_per_register: float = 0.4
    largest_warp: float = 0.15
    largest_constant_db: float = 12.0
    largest_varying_db: float = 4.0
    dtype: str = "float32"

    def __post_init__(self):
        for name in ("mel_bands", "embedding_dim", "cosines", "width", "blocks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1.")
        if self.cosines > self.mel_bands:
            raise ConfigError(f"cosines is {self.cosines}; expected at most mel_bands {self.mel_bands}.")


@pytree_dataclass
class TimbreChange:
    """The change of each frame's envelope, its part that varies over frames, both in dB, and the warp."""

    db: Float[Array, "B T F"]
    varying_db: Float[Array, "B T F"]
    warp: Float[Array, " B"]


class TimbreConverter(nnx.Module):
    """The envelope's change from a source's embedding to a target's."""

    def __init__(self, config: TimbreConverterConfig, *, keys: KeySequence):
        width, dtype = config.width, config.dtype
        self.config = config
        self.voices = Linear(2 * config.embedding_dim + 1, 2 * width, dtype=dtype, keys=keys)
        self.hidden = Linear(2 * width, 2 * width, dtype=dtype, keys=keys)
        self.constant = Linear(2 * width, config.cosines + 1, dtype=dtype, keys=keys)
        self.affine = Stack([Linear(2 * width, 2 * width, dtype=dtype, keys=keys) for _ in range(config.blocks)])
        self.input = Conv1d(config.mel_bands, width, KERNEL, dtype=dtype, keys=keys)
        self.convs = Stack(
            [Conv1d(width, width, KERNEL, dilation=2**i, dtype=dtype, keys=keys) for i in range(config.blocks)]
        )
        self.varying = Conv1d(width, config.cosines, KERNEL, dtype=dtype, keys=keys)

    def __call__(
        self,
        mel: Float[Array, "B T F"],
        source: Float[Array, "B E"],
        target: Float[Array, "B E"],
        register_shift: Float[Array, " B"],
    ) -> TimbreChange:
        """The change, proportionally smaller where the embeddings are nearer than those of strangers.

        Args:
          mel: the source's log-mel spectrogram.
          source, target: speaker embeddings of unit length.
          register_shift: logarithm of the factor that the source's F0 is multiplied with.
        """
        config = self.config
        distance = 1.0 - jnp.sum(source * target, axis=-1)
        strength = jnp.clip(distance / DISTANT_COSINE, 0.0, 1.0)[:, None]
        voices = jnp.concatenate([source * EMBEDDING_SCALE, target * EMBEDDING_SCALE, register_shift[:, None]], axis=-1)
        voices = jax.nn.gelu(self.voices(voices))
        voices = jax.nn.gelu(self.hidden(voices))
        constant = at_least_float32(self.constant(voices))
        warp = config.warp_per_register * register_shift + config.largest_warp * jnp.tanh(constant[:, 0])
        warp = warp * strength[:, 0]
        varying = (
            config.largest_varying_db * jnp.tanh(at_least_float32(self._varying(mel, voices))) * strength[..., None]
        )
        constant = config.largest_constant_db * jnp.tanh(constant[:, 1:]) * strength
        basis = cosines(config.cosines, np.arange(config.mel_bands), config.mel_bands)
        varying_db = varying @ basis
        db = varying_db + (constant @ basis)[:, None] + warped_envelope_db(mel * config.mel_range_db, warp, config)
        return TimbreChange(db, varying_db, warp)

    def _varying(self, mel: Float[Array, "B T F"], voices: Float[Array, "B C"]) -> Float[Array, "B T K"]:
        x = self.input(mel - 0.5)
        for affine, conv in zip(self.affine, self.convs, strict=True):
            scale, offset = jnp.split(affine(voices)[:, None], 2, axis=-1)
            x = x + jax.nn.gelu(conv(x) * (1 + scale) + offset)
        return self.varying(x)


def cosines(count: int, positions: Array | np.ndarray, bands: int) -> Array:
    """The first cosines over `bands` mel bands at these positions, in bands; [*P] -> [*P[:-1], count, P[-1]]."""
    phase = jnp.pi * (jnp.asarray(positions, jnp.float32) + 0.5) / bands
    return jnp.cos(jnp.arange(count)[:, None] * phase[..., None, :])


def warped_envelope_db(
    mel_db: Float[Array, "B T F"], warp: Float[Array, " B"], config: TimbreConverterConfig
) -> Float[Array, "B T F"]:
    """What moving each frame's envelope by the factor exp(warp) in frequency changes in each mel band, in dB."""
    bands, count = config.mel_bands, config.cosines
    basis = cosines(count, np.arange(bands), bands)
    envelope = mel_db @ basis.T * jnp.full(count, 2 / bands).at[0].set(1 / bands)
    centres_hz = jnp.asarray(band_centres_hz(bands))
    moved = jnp.interp(centres_hz * jnp.exp(-warp)[:, None], centres_hz, jnp.arange(bands, dtype=jnp.float32))
    return jnp.einsum("btk,bkf->btf", envelope, cosines(count, moved, bands) - basis)


def band_centres_hz(bands: int) -> Float[np.ndarray, " F"]:
    """Centres of so many mel bands in the range of `AudioConfig`'s defaults."""
    return slaney_centres_hz(bands, AudioConfig.mel_min_hz, AudioConfig.mel_max_hz)
