"""WaveGlow: a vocoder of invertible flows.

Source: Prenger et al., "WaveGlow: A Flow-based Generative Network for Speech Synthesis", arXiv 1811.00002. Audio is
squeezed into groups of samples; G is the number of groups, `S // group_samples`.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Key

from evc_jax.errors import ConfigError
from evc_jax.models.layers import Conv1d, ConvTranspose1d, Stack, WeightNormConv1d, at_least_float32
from evc_jax.models.pytree import record


@dataclasses.dataclass(frozen=True)
class WaveGlowConfig:
    """Sizes; the defaults are the reference's.

    Attributes:
      group_samples: samples that are squeezed into one step.
      early_every: after this many flows, and again after as many, ...
      early_channels: ... this many channels leave early.
      wn_layers, wn_channels, wn_kernel: the dilated network inside each coupling.
      upsample_kernel, upsample_stride: transposed convolution from mel frames to samples; the stride is the hop.
      dtype: type of the arithmetic; parameters, log-determinants and results stay float32.
    """

    mel_bands: int = 80
    flows: int = 12
    group_samples: int = 8
    early_every: int = 4
    early_channels: int = 2
    wn_layers: int = 8
    wn_channels: int = 256
    wn_kernel: int = 3
    upsample_kernel: int = 1024
    upsample_stride: int = 256
    dtype: str = "float32"

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in ("dtype", "early_channels") and value < 1:
                raise ConfigError(f"{field.name} is {value}; expected at least 1.")
        if self.group_samples % 2 or self.early_channels % 2 or self.early_channels < 0:
            raise ConfigError(
                f"group_samples is {self.group_samples} and early_channels {self.early_channels}; both must be even, "
                "as every coupling halves the channels."
            )
        if self.wn_kernel % 2 == 0:
            raise ConfigError(f"wn_kernel is {self.wn_kernel}; use an odd number.")
        if self.upsample_stride % self.group_samples:
            raise ConfigError(
                f"group_samples is {self.group_samples}; it must divide upsample_stride, {self.upsample_stride}."
            )
        if self.upsample_kernel < self.upsample_stride:
            raise ConfigError(
                f"upsample_kernel is {self.upsample_kernel}; expected at least upsample_stride, {self.upsample_stride}."
            )
        if self.channels(self.flows - 1) < 2:
            raise ConfigError(
                f"{self.flows} flows that lose {self.early_channels} channels every {self.early_every} leave none of "
                f"{self.group_samples}; use fewer flows or a larger group_samples."
            )

    def leaves_early(self, flow: int) -> bool:
        """Whether channels leave just before this flow."""
        return flow > 0 and flow % self.early_every == 0

    def channels(self, flow: int) -> int:
        """Channels that this flow works on."""
        return self.group_samples - self.early_channels * (flow // self.early_every)


@record
class WaveGlowOutput:
    """The training direction's result; sums run over batch and time.

    Attributes:
      z: the latent, in the order in which channels left.
      log_s_sum: sum of log s of each flow's coupling.
      log_det_w: log-determinant of each flow's 1x1 convolution, times batch and groups.
    """

    z: Float[Array, "B G C"]
    log_s_sum: Float[Array, " flows"]
    log_det_w: Float[Array, " flows"]


class Invertible1x1(nnx.Module):
    """A square matrix over the channels, orthonormal with determinant 1 at first (Glow, arXiv 1807.03039)."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs, dtype: str = "float32"):
        matrix, _ = jnp.linalg.qr(jax.random.normal(rngs.params(), (channels, channels)))
        sign = jnp.where(jnp.linalg.det(matrix) < 0, -1.0, 1.0)
        self.kernel = nnx.Param(matrix.at[:, 0].multiply(sign))
        self.dtype = jnp.dtype(dtype)

    def __call__(self, x: Float[Array, "B G C"]) -> tuple[Float[Array, "B G C"], Float[Array, ""]]:
        """The product, and the log-determinant of the map over batch and groups."""
        log_det = jnp.linalg.slogdet(self.kernel[...])[1]
        return x @ self.kernel[...].astype(self.dtype), x.shape[0] * x.shape[1] * log_det

    def inverse(self, y: Float[Array, "B G C"]) -> Float[Array, "B G C"]:
        """Undoes the product; the inverse is taken in float32 at least."""
        inverse = jnp.linalg.inv(at_least_float32(self.kernel[...]))
        return y @ inverse.astype(self.dtype)


class CouplingNet(nnx.Module):
    """WaveNet-like network of dilated, weight-normalised convolutions: half the channels and the mel to [b, log s]."""

    def __init__(self, half: int, config: WaveGlowConfig, *, rngs: nnx.Rngs):
        width, layers = config.wn_channels, config.wn_layers
        conv = functools.partial(WeightNormConv1d, dtype=config.dtype, rngs=rngs)
        self.width = width
        self.start = conv(half, width, 1)
        self.condition = conv(config.mel_bands * config.group_samples, 2 * width * layers, 1)
        self.dilated = Stack([conv(width, 2 * width, config.wn_kernel, dilation=2**i) for i in range(layers)])
        widths = [2 * width] * (layers - 1) + [width]
        self.residual_skip = Stack([conv(width, outputs, 1) for outputs in widths])
        self.end = Conv1d(width, 2 * half, 1, dtype=config.dtype, rngs=rngs)
        # A coupling that starts as the identity keeps early training stable.
        self.end.kernel[...] = jnp.zeros_like(self.end.kernel[...])
        self.end.bias[...] = jnp.zeros_like(self.end.bias[...])

    def __call__(self, x: Float[Array, "B G H"], mel: Float[Array, "B G M"]) -> Float[Array, "B G H2"]:
        width, last = self.width, len(self.dilated) - 1
        hidden, condition = self.start(x), self.condition(mel)
        skipped = jnp.zeros_like(hidden)
        for index, (dilated, residual_skip) in enumerate(zip(self.dilated, self.residual_skip, strict=True)):
            offset = 2 * width * index
            gates = dilated(hidden) + lax.slice_in_dim(condition, offset, offset + 2 * width, axis=2)
            result = residual_skip(jnp.tanh(gates[..., :width]) * jax.nn.sigmoid(gates[..., width:]))
            if index < last:
                hidden = hidden + result[..., :width]
                result = result[..., width:]
            skipped = skipped + result
        return self.end(skipped)


class WaveGlow(nnx.Module):
    """The vocoder in both directions."""

    def __init__(self, config: WaveGlowConfig, *, rngs: nnx.Rngs):
        self.config = config
        bands, kernel, stride = config.mel_bands, config.upsample_kernel, config.upsample_stride
        self.upsample = ConvTranspose1d(bands, bands, kernel, stride=stride, dtype=config.dtype, rngs=rngs)
        flows = range(config.flows)
        mixers = [Invertible1x1(config.channels(flow), dtype=config.dtype, rngs=rngs) for flow in flows]
        self.mixers = Stack(mixers)
        self.couplings = Stack([CouplingNet(config.channels(flow) // 2, config, rngs=rngs) for flow in flows])

    def __call__(self, audio: Float[Array, "B S"], mel: Float[Array, "B T F"]) -> WaveGlowOutput:
        """Audio to noise; samples past the last whole group are left out.

        Raises:
          ConfigError: the mel spectrogram is too short for the audio.
        """
        config = self.config
        groups = audio.shape[1] // config.group_samples
        condition = self._condition(mel, groups)
        x = audio[:, : groups * config.group_samples].reshape(audio.shape[0], groups, config.group_samples)
        x = x.astype(condition.dtype)
        early, log_s_sums, log_dets = [], [], []
        for flow, (mixer, coupling) in enumerate(zip(self.mixers, self.couplings, strict=True)):
            if config.leaves_early(flow):
                early.append(x[..., : config.early_channels])
                x = x[..., config.early_channels :]
            x, log_det = mixer(x)
            half = config.channels(flow) // 2
            kept, changed = x[..., :half], x[..., half:]
            bias, log_s = jnp.split(coupling(kept, condition), 2, axis=-1)
            x = jnp.concatenate([kept, jnp.exp(log_s) * changed + bias], axis=-1)
            log_s_sums.append(at_least_float32(log_s).sum())
            log_dets.append(log_det)
        z = at_least_float32(jnp.concatenate([*early, x], axis=-1))
        return WaveGlowOutput(z, jnp.stack(log_s_sums), jnp.stack(log_dets))

    def infer(
        self, mel: Float[Array, "B T F"], noise: tuple[Float[Array, "B G _"], ...], sigma: float | Array = 1.0
    ) -> Float[Array, "B S"]:
        """Noise to audio, `S = T * upsample_stride`.

        Args:
          noise: as `draw_noise` makes it, of unit variance.
          sigma: standard deviation that the noise is given.
        """
        config = self.config
        groups = mel.shape[1] * config.upsample_stride // config.group_samples
        condition = self._condition(mel, groups)
        latest, *earlier = [sigma * part.astype(condition.dtype) for part in noise]
        x = latest
        for flow in reversed(range(config.flows)):
            half = config.channels(flow) // 2
            kept, changed = x[..., :half], x[..., half:]
            bias, log_s = jnp.split(self.couplings[flow](kept, condition), 2, axis=-1)
            x = jnp.concatenate([kept, (changed - bias) * jnp.exp(-log_s)], axis=-1)
            x = self.mixers[flow].inverse(x)
            if config.leaves_early(flow):
                x = jnp.concatenate([earlier.pop(0), x], axis=-1)
        return at_least_float32(x.reshape(x.shape[0], -1))

    def _condition(self, mel: Array, groups: int) -> Array:
        """The upsampled mel, squeezed like the audio: [B, T, F] -> [B, G, group_samples * F]."""
        samples = groups * self.config.group_samples
        upsampled = self.upsample(mel)
        if upsampled.shape[1] < samples:
            raise ConfigError(
                f"The audio has {samples} samples, but {mel.shape[1]} mel frames only reach {upsampled.shape[1]}; give "
                f"at least one frame per {self.config.upsample_stride} samples."
            )
        return upsampled[:, :samples].reshape(mel.shape[0], groups, -1)


def noise_shapes(config: WaveGlowConfig, batch: int, frames: int) -> tuple[tuple[int, int, int], ...]:
    """Shapes [B, G, C] of the noise that `WaveGlow.infer` takes: the last flow's, then what joins on the way back."""
    groups = frames * config.upsample_stride // config.group_samples
    joins = sum(config.leaves_early(flow) for flow in range(config.flows)) if config.early_channels else 0
    widths = [config.channels(config.flows - 1)] + [config.early_channels] * joins
    return tuple((batch, groups, width) for width in widths)


def draw_noise(
    key: Key[Array, ""], config: WaveGlowConfig, batch: int, frames: int
) -> tuple[Float[Array, "B G _"], ...]:
    """Standard normal noise for `WaveGlow.infer`."""
    shapes = noise_shapes(config, batch, frames)
    return tuple(jax.random.normal(jax.random.fold_in(key, i), shape) for i, shape in enumerate(shapes))


def waveglow_loss(output: WaveGlowOutput, sigma: float = 1.0) -> Float[Array, ""]:
    """Negative log-likelihood per sample, up to a constant (WaveGlow paper, equation 2)."""
    energy = jnp.sum(output.z**2) / (2.0 * sigma**2)
    return (energy - output.log_s_sum.sum() - output.log_det_w.sum()) / output.z.size
