"""WaveGlow: a vocoder of invertible flows.

Sources: Prenger et al. 2018, "WaveGlow: A Flow-based Generative Network for Speech Synthesis", arXiv 1811.00002, sizes
as in the authors' code (github.com/NVIDIA/waveglow); the 1x1 convolutions: Kingma and Dhariwal 2018, "Glow", arXiv
1807.03039; the coupling networks: WaveNet (van den Oord et al. 2016, arXiv 1609.03499) with weight normalization
(Salimans and Kingma 2016, arXiv 1602.07868). Audio is squeezed into groups of samples; G is the number of groups,
`S // group_samples`.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from evc_jax.errors import ConfigError
from evc_jax.models.conv_matmul import ConvTranspose1d
from evc_jax.models.layers import Conv1d, Stack, WeightNormConv1d, at_least_float32
from evc_jax.models.network import KeySequence, pytree_dataclass
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.synthesis import SynthesisWeights, synthesis_weights
from evc_jax.models.waveglow.wavenet import CouplingWeights, couple


@pytree_dataclass
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

    def __init__(self, channels: int, *, keys: KeySequence, dtype: str = "float32"):
        matrix, _ = jnp.linalg.qr(jax.random.normal(next(keys), (channels, channels)))
        sign = jnp.where(jnp.linalg.det(matrix) < 0, -1.0, 1.0)
        self.kernel = nnx.Param(matrix.at[:, 0].multiply(sign))
        self.dtype = jnp.dtype(dtype)

    def __call__(self, x: Float[Array, "B G C"]) -> tuple[Float[Array, "B G C"], Float[Array, ""]]:
        """The product, and the log-determinant of the map over batch and groups."""
        log_det = jnp.linalg.slogdet(self.kernel[...])[1]
        return x @ self.kernel[...].astype(self.dtype), x.shape[0] * x.shape[1] * log_det

    def inverse(self) -> Float[Array, "C C"]:
        """The matrix that undoes the product."""
        return jnp.linalg.inv(at_least_float32(self.kernel[...]))


class CouplingNet(nnx.Module):
    """WaveNet-like network of dilated, weight-normalized convolutions: half the channels and the mel to [b, log s]."""

    def __init__(self, half: int, config: WaveGlowConfig, *, keys: KeySequence):
        width, layers = config.wn_channels, config.wn_layers
        conv = functools.partial(WeightNormConv1d, dtype=config.dtype, keys=keys)
        self.start = conv(half, width, 1)
        self.condition = conv(config.mel_bands * config.group_samples, 2 * width * layers, 1)
        self.dilated = Stack([conv(width, 2 * width, config.wn_kernel, dilation=2**i) for i in range(layers)])
        widths = [2 * width] * (layers - 1) + [width]
        self.residual_skip = Stack([conv(width, outputs, 1) for outputs in widths])
        self.end = Conv1d(width, 2 * half, 1, dtype=config.dtype, keys=keys)
        # A coupling that starts as the identity keeps early training stable.
        self.end.kernel[...] = jnp.zeros_like(self.end.kernel[...])
        self.end.bias[...] = jnp.zeros_like(self.end.bias[...])

    def weights(self) -> CouplingWeights:
        """The kernels, normalized, with neighbouring linear maps multiplied into one."""
        width = self.start.bias.shape[0]
        enter = jnp.concatenate([self.start.kernel()[0], self.start.bias[...][None]])
        first, *later = (dilated.kernel() for dilated in self.dilated)
        leave = self.end.kernel[...][0]
        mixes, biases, mel_bias = [], [], jnp.split(self.condition.bias[...], len(self.dilated))
        for residual_skip in self.residual_skip:
            kernel, bias = residual_skip.kernel()[0], residual_skip.bias[...]
            residual, skip = kernel.shape[1] - width, slice(-width, None)
            mixes.append(jnp.concatenate([kernel[:, :residual], kernel[:, skip] @ leave], axis=1))
            biases.append(jnp.concatenate([bias[:residual], bias[skip] @ leave]))
        return CouplingWeights(
            enter=enter,
            dilated=(jnp.einsum("iw,kwo->kio", enter, first), *later),
            condition=tuple(jnp.split(self.condition.kernel()[0], len(self.dilated), axis=1)),
            bias=tuple(dilated.bias[...] + mel for dilated, mel in zip(self.dilated, mel_bias, strict=True)),
            mix=tuple(mixes),
            mix_bias=tuple(biases),
            end_bias=self.end.bias[...],
        )


class WaveGlow(nnx.Module):
    """The vocoder, from audio to noise; the way back is in `synthesis`."""

    def __init__(self, config: WaveGlowConfig, *, keys: KeySequence):
        self.config = config
        bands, kernel, stride = config.mel_bands, config.upsample_kernel, config.upsample_stride
        self.upsample = ConvTranspose1d(bands, bands, kernel, stride=stride, dtype=config.dtype, keys=keys)
        flows = range(config.flows)
        mixers = [Invertible1x1(config.channels(flow), dtype=config.dtype, keys=keys) for flow in flows]
        self.mixers = Stack(mixers)
        self.couplings = Stack([CouplingNet(config.channels(flow) // 2, config, keys=keys) for flow in flows])

    def __call__(self, audio: Float[Array, "B S"], mel: Float[Array, "B T F"], remat: bool = False) -> WaveGlowOutput:
        """Audio to noise; samples past the last whole group are left out.

        Args:
          audio: samples.
          mel: log-mel spectrogram, of at least as many frames.
          remat: gradients compute each coupling network again instead of keeping what it computed: a third
            more arithmetic, a fraction of the memory. XLA's CPU backend finds both the same and keeps it after all.

        Raises:
          ConfigError: the mel spectrogram is too short for the audio.
        """
        config = self.config
        run = jax.checkpoint(_couple) if remat else _couple
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
            weights = jax.tree.map(lambda leaf, dtype=x.dtype: leaf.astype(dtype), coupling.weights())
            bias, log_s = jnp.split(run(weights, kept, condition), 2, axis=-1)
            x = jnp.concatenate([kept, jnp.exp(log_s) * changed + bias], axis=-1)
            log_s_sums.append(at_least_float32(log_s).sum())
            log_dets.append(log_det)
        z = at_least_float32(jnp.concatenate([*early, x], axis=-1))
        return WaveGlowOutput(z, jnp.stack(log_s_sums), jnp.stack(log_dets))

    def synthesis_weights(self) -> SynthesisWeights:
        """What `synthesis.synthesize` takes in place of the parameters."""
        return synthesis_weights(
            self.upsample.kernel[...],
            self.upsample.bias[...],
            tuple(coupling.weights() for coupling in self.couplings),
            tuple(mixer.inverse() for mixer in self.mixers),
            self.config,
        )

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


def _couple(weights: CouplingWeights, x: Array, condition: Array) -> Array:
    """`couple`, with the squeezed mel of `WaveGlow._condition`."""
    return couple(weights, x, functools.partial(jnp.matmul, condition))


def waveglow_loss(output: WaveGlowOutput, sigma: float = 1.0) -> Float[Array, ""]:
    """Negative log-likelihood per sample, up to a constant (WaveGlow paper, equation 2)."""
    energy = jnp.sum(output.z**2) / (2.0 * sigma**2)
    return (energy - output.log_s_sum.sum() - output.log_det_w.sum()) / output.z.size
