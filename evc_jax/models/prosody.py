"""The prosody network: what an emotion changes in a recording's melody, loudness, spectral shape and timing.

Explicit prosody instead of codes that only a decoder can read: `features.prosody` measures the track, and a rendering
from the source makes the change audible. Each emotion has a learned mean change, which alone would be the rules of the
evaluation; gated dilated convolutions (van den Oord et al. 2016, arXiv 1609.03499) add what depends on the recording.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from evc_jax.errors import ConfigError
from evc_jax.models.conv_matmul import Conv1d
from evc_jax.models.layers import Linear, Stack
from evc_jax.models.network import KeySequence

# The network works at half the frame rate: prosody is slow.
FRAMES_PER_STEP = 2
# A semitone's change, a decibel's of loudness and of each other cepstrum, and the logarithm's of duration.
_SEMITONES, _LOUDNESS_DB, _SHAPE_DB, _LOG_DURATION = 4.0, 6.0, 2.0, 0.2


def change_statistics(
    track: Float[Array, "B T I"], change: Float[Array, "B T O"], mask: Float[Array, "B T O"]
) -> Float[Array, "B S"]:
    """What a change does to a recording as a whole: means, and how much more melody and spectrum vary; about 1 in size.

    Args:
      track: of the source.
      change: as `ProsodyNetwork` makes it.
      mask: 1 in the frames that count.
    """
    counts = jnp.maximum(mask.sum(axis=1), 1)
    scaled = change / _typical_change(change.shape[-1])
    means = (scaled * mask).sum(axis=1) / counts

    def deviation(values: Array) -> Array:
        mean = (values * mask[..., :-1]).sum(axis=1) / counts[:, :-1]
        squares = (((values - mean[:, None]) * mask[..., :-1]) ** 2).sum(axis=1) / counts[:, :-1]
        return jnp.sqrt(squares + 1e-3)

    source = jnp.concatenate([track[..., :1], track[..., 2:]], axis=-1)
    return jnp.concatenate([means, jnp.log(deviation(source + scaled[..., :-1]) / deviation(source))], axis=-1)


@dataclass(frozen=True)
class ProsodyConfig:
    """Sizes of the prosody network.

    Attributes:
      emotions: number of emotions.
      track_channels, summary_channels: of what it reads; see `features.prosody.network_inputs`.
      cepstra: of the spectrum that it changes.
      width: channels.
      layers: convolutions, each with twice the dilation of the one before.
      kernel: frames of their kernels, odd.
      dropout: share of channels that training leaves out of each layer.
      summary_dropout: share of samples that training shows no summary of their recording.
      dtype: type of the arithmetic; parameters and results stay float32.
    """

    emotions: int = 8
    track_channels: int = 15
    summary_channels: int = 10
    cepstra: int = 13
    width: int = 48
    layers: int = 6
    kernel: int = 3
    dropout: float = 0.2
    summary_dropout: float = 0.3
    dtype: str = "float32"

    def __post_init__(self):
        if min(self.emotions, self.width, self.layers) < 1 or self.kernel % 2 == 0:
            raise ConfigError(
                f"The prosody network has emotions {self.emotions}, width {self.width}, layers {self.layers} and "
                f"kernel {self.kernel}; expected at least 1 of each and an odd kernel."
            )
        if not (0 <= self.dropout < 1 and 0 <= self.summary_dropout <= 1):
            raise ConfigError(
                f"dropout is {self.dropout} and summary_dropout {self.summary_dropout}; expected shares below 1."
            )


def _typical_change(channels: int) -> Float[Array, " O"]:
    """The size of each channel of a change."""
    shape = [_SHAPE_DB] * (channels - 3)
    return jnp.asarray([_SEMITONES, _LOUDNESS_DB, *shape, _LOG_DURATION])


class GatedLayer(nnx.Module):
    """A dilated convolution with a gate, conditioned on emotion and summary, added to its input."""

    def __init__(self, config: ProsodyConfig, conditions: int, dilation: int, *, keys: KeySequence):
        width, dtype = config.width, config.dtype
        padding = dilation * (config.kernel // 2)
        self.conv = Conv1d(width, 2 * width, config.kernel, padding=padding, dilation=dilation, dtype=dtype, keys=keys)
        self.condition = Linear(conditions, 2 * width, dtype=dtype, keys=keys)
        self.output = Linear(width, width, dtype=dtype, keys=keys)

    def __call__(self, x: Float[Array, "B T C"], condition: Float[Array, "B K"], kept: Array) -> Float[Array, "B T C"]:
        signal, gate = jnp.split(self.conv(x) + self.condition(condition)[:, None], 2, axis=-1)
        return x + self.output(jnp.tanh(signal) * jax.nn.sigmoid(gate) * kept)


class ProsodyNetwork(nnx.Module):
    """Track, summary and emotion to a change of F0, cepstra and duration in every frame."""

    def __init__(self, config: ProsodyConfig, *, keys: KeySequence):
        self.config = config
        conditions, width, dtype = config.summary_channels + config.emotions, config.width, config.dtype
        changes = 2 + config.cepstra
        self.input = Conv1d(config.track_channels, width, 5, padding=2, dtype=dtype, keys=keys)
        self.layers = Stack([GatedLayer(config, conditions, 2**i, keys=keys) for i in range(config.layers)])
        self.output = Linear(width, changes, dtype=dtype, keys=keys)
        self.hidden = Linear(conditions, width, dtype=dtype, keys=keys)
        self.mean = Linear(width, changes, dtype=dtype, keys=keys)
        self.emotions = Linear(config.emotions, changes, dtype=dtype, keys=keys)
        statistics = 2 * (changes - 1) + 1  # see `change_statistics`
        self.recogniser = Stack([Linear(statistics, width, keys=keys), Linear(width, config.emotions, keys=keys)])

    def __call__(
        self,
        track: Float[Array, "B T I"],
        summary: Float[Array, "B S"],
        emotion: Float[Array, "B K"],
        key: Array | None = None,
    ) -> Float[Array, "B T O"]:
        """The change in semitones, in decibels of each cepstrum, and of the logarithm of duration.

        Args:
          track, summary: from `features.prosody.network_inputs`.
          emotion: weights of the emotions: one-hot for a single one, less than 1 for a weaker one.
          key: of the dropout in training; None leaves nothing out.
        """
        frames = track.shape[1]
        x = jnp.pad(track, ((0, 0), (0, -frames % FRAMES_PER_STEP), (0, 0)), mode="edge")
        x = x.reshape(x.shape[0], -1, FRAMES_PER_STEP, track.shape[2]).mean(axis=2)
        kept = self._kept(key, x.shape[0])
        if key is not None:
            shown = jax.random.bernoulli(jax.random.fold_in(key, 1), 1 - self.config.summary_dropout, (x.shape[0], 1))
            summary = summary * shown
        condition = jnp.concatenate([emotion, summary], axis=-1)
        x = self.input(x)
        for layer, share in zip(self.layers, kept, strict=True):
            x = layer(x, condition, share)
        mean = self.mean(jax.nn.gelu(self.hidden(condition))) + self.emotions(emotion)
        change = (self.output(x) + mean[:, None]).astype(jnp.float32) * _typical_change(mean.shape[-1])
        shape = (x.shape[0], FRAMES_PER_STEP * change.shape[1], change.shape[2])
        return jax.image.resize(change, shape, "linear")[:, :frames]

    def recognise(self, statistics: Float[Array, "B S"]) -> Float[Array, "B K"]:
        """Logits of the emotion that a change leads to, for training; see `change_statistics`."""
        hidden, output = self.recogniser
        return output(jnp.tanh(hidden(statistics)))

    def _kept(self, key: Array | None, batch: int) -> Array:
        """Factors of each layer's channels [layers, B, 1, C]: 0 for what is left out."""
        shape = (self.config.layers, batch, 1, self.config.width)
        if key is None or not self.config.dropout:
            return jnp.ones(shape)
        share = 1 - self.config.dropout
        return jax.random.bernoulli(jax.random.fold_in(key, 0), share, shape) / share
