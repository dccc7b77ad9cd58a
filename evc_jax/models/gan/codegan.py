"""CodeGAN: emotion conversion of SpeechSplit's codes, StarGAN's scheme in one dimension.

Sources: the system is emo-clone's ("Disentangled Representation Learning and Generative Adversarial Networks for
Emotional Voice Cloning", github.com/alexbrx/emo-clone, 2020; its `codegan/model_stargan.py` fixes the sizes). The
scheme is that of Choi et al. 2017, "StarGAN", arXiv 1711.09020, equations 1 to 6; the residual blocks take the emotion
by adaptive instance normalization (Huang and Belongie 2017, arXiv 1703.06868, equation 8).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from evc_jax.errors import ConfigError
from evc_jax.models.conv_matmul import Conv1d, ConvTranspose1d
from evc_jax.models.gan.losses import DiscriminatorOutput
from evc_jax.models.layers import InstanceNorm, Linear, Stack, at_least_float32, standardize
from evc_jax.models.network import KeySequence

LEAKY_SLOPE = 0.01
RESAMPLING_KERNEL = 4
RESAMPLING_STRIDE = 2
RESAMPLING_PADDING = 1


@dataclasses.dataclass(frozen=True)
class CodeGANConfig:
    """Sizes of generator and discriminator; the defaults are the reference's for pitch and rhythm codes together.

    Attributes:
      code_channels: channels of the codes that are converted.
      emotions: number of emotions.
      down_widths: channels of the generator's first convolution, then of one convolution per halving of the length.
      up_widths: channels of one transposed convolution per doubling; as many as there are halvings.
      residual_blocks: blocks with adaptive normalization between them, which take the emotion.
      input_kernel: frames of the generator's first kernel, odd.
      residual_kernel: frames of the residual blocks' kernels, odd.
      discriminator_widths: channels of one convolution each; all but the first halve the length.
      discriminator_kernels: frames of their kernels; the first is odd and keeps the length.
      discriminator_groups: their groups.
      residual: whether the generator's output is added to its input.
        NOTE: not so in the reference. Its instance normalizations erase each channel's mean over the utterance, and
        with it the height of the voice, which the generator then has to make up.
      dtype: type of the arithmetic; parameters and results stay float32.
    """

    code_channels: int = 66
    emotions: int = 4
    down_widths: tuple[int, ...] = (128, 256, 512)
    up_widths: tuple[int, ...] = (512, 256)
    residual_blocks: int = 3
    input_kernel: int = 7
    residual_kernel: int = 3
    discriminator_widths: tuple[int, ...] = (128, 256, 512, 1024, 2048)
    discriminator_kernels: tuple[int, ...] = (3, 2, 2, 2, 2)
    discriminator_groups: tuple[int, ...] = (2, 2, 1, 1, 1)
    residual: bool = False
    dtype: str = "float32"

    def __post_init__(self):
        if min(self.code_channels, self.emotions) < 1 or self.residual_blocks < 0:
            raise ConfigError(
                f"code_channels is {self.code_channels}, emotions {self.emotions} and residual_blocks "
                f"{self.residual_blocks}; expected at least 1, 1 and 0."
            )
        if len(self.up_widths) != len(self.down_widths) - 1:
            raise ConfigError(
                f"up_widths has {len(self.up_widths)} entries and down_widths {len(self.down_widths)}; expected one "
                "fewer, so that the length comes back."
            )
        self._check_discriminator()
        kernels = (self.input_kernel, self.residual_kernel, self.discriminator_kernels[0])
        if any(kernel % 2 == 0 for kernel in kernels):
            raise ConfigError(
                f"input_kernel, residual_kernel and the first of discriminator_kernels are {kernels}; use odd numbers."
            )

    def _check_discriminator(self) -> None:
        layers = len(self.discriminator_widths)
        if layers == 0 or not layers == len(self.discriminator_kernels) == len(self.discriminator_groups):
            raise ConfigError(
                f"discriminator_widths, _kernels and _groups have {layers}, {len(self.discriminator_kernels)} and "
                f"{len(self.discriminator_groups)} entries; give each layer one of each."
            )
        widths = (self.code_channels, *self.discriminator_widths)
        for (inputs, outputs), groups in zip(itertools.pairwise(widths), self.discriminator_groups, strict=True):
            if groups < 1 or inputs % groups or outputs % groups:
                raise ConfigError(
                    f"discriminator_groups has {groups} for a layer of {inputs} to {outputs} channels; it must divide "
                    "both, use 1."
                )


class NormedConv(nnx.Module):
    """An ordinary or transposed convolution, affine instance normalization, leaky ReLU."""

    def __init__(self, conv: nnx.Module, channels: int):
        self.conv = conv
        self.norm = InstanceNorm(channels)

    def __call__(self, x: Float[Array, "B T I"]) -> Float[Array, "B T2 O"]:
        return jax.nn.leaky_relu(self.norm(self.conv(x)), LEAKY_SLOPE)


def _resampling(
    kind: type[Conv1d | ConvTranspose1d], inputs: int, outputs: int, config: CodeGANConfig, keys: KeySequence
) -> NormedConv:
    """A convolution that halves or doubles the length."""
    stride, padding = RESAMPLING_STRIDE, RESAMPLING_PADDING
    conv = kind(inputs, outputs, RESAMPLING_KERNEL, stride=stride, padding=padding, dtype=config.dtype, keys=keys)
    return NormedConv(conv, outputs)


class AdaptiveInstanceNorm(nnx.Module):
    """Instance normalization with scale and bias from a condition (Huang and Belongie 2017, arXiv 1703.06868)."""

    def __init__(self, channels: int, conditions: int, *, keys: KeySequence, dtype: str):
        self.style = Linear(conditions, 2 * channels, dtype=dtype, keys=keys)

    def __call__(self, x: Float[Array, "B T C"], condition: Float[Array, "B #T K"]) -> Float[Array, "B T C"]:
        scale, bias = jnp.split(self.style(condition), 2, axis=-1)
        return (1.0 + scale) * standardize(x, axes=(1,)).astype(x.dtype) + bias


class ResidualBlock(nnx.Module):
    """Convolution, adaptive normalization, ReLU, twice; added to the input at unit variance."""

    def __init__(self, channels: int, config: CodeGANConfig, *, keys: KeySequence):
        kernel, dtype = config.residual_kernel, config.dtype
        self.conv1 = Conv1d(channels, channels, kernel, dtype=dtype, keys=keys)
        self.norm1 = AdaptiveInstanceNorm(channels, config.emotions, dtype=dtype, keys=keys)
        self.conv2 = Conv1d(channels, channels, kernel, dtype=dtype, keys=keys)
        self.norm2 = AdaptiveInstanceNorm(channels, config.emotions, dtype=dtype, keys=keys)

    def __call__(self, x: Float[Array, "B T C"], condition: Float[Array, "B #T K"]) -> Float[Array, "B T C"]:
        hidden = jax.nn.relu(self.norm1(self.conv1(x), condition))
        hidden = jax.nn.relu(self.norm2(self.conv2(hidden), condition))
        return (x + hidden) / math.sqrt(2.0)


class CodeGenerator(nnx.Module):
    """Codes of any emotion to codes of the requested emotion or mixture of emotions."""

    def __init__(self, config: CodeGANConfig, *, keys: KeySequence):
        self.frame_multiple = RESAMPLING_STRIDE ** len(config.up_widths)
        self.adds_input = config.residual
        first = config.down_widths[0]
        conv = Conv1d(config.code_channels, first, config.input_kernel, dtype=config.dtype, keys=keys)
        shapes = itertools.pairwise(config.down_widths)
        self.down = Stack([NormedConv(conv, first), *(_resampling(Conv1d, a, b, config, keys) for a, b in shapes)])
        top = config.down_widths[-1]
        self.residual = Stack([ResidualBlock(top, config, keys=keys) for _ in range(config.residual_blocks)])
        shapes = itertools.pairwise((top, *config.up_widths))
        self.up = Stack([_resampling(ConvTranspose1d, a, b, config, keys) for a, b in shapes])
        last = (top, *config.up_widths)[-1]
        self.output = Conv1d(last, config.code_channels, 1, dtype=config.dtype, keys=keys)

    def __call__(
        self, codes: Float[Array, "B T C"], emotion: Float[Array, "B K"] | Float[Array, "B T K"]
    ) -> Float[Array, "B T C"]:
        """Any T; lengths that the halvings do not divide are padded with the last frame and cut again.

        Args:
          codes: of any emotion.
          emotion: weights of the emotions, which sum to one; a single 1 is a pure emotion. [B, T, K] change over time.
        """
        frames = codes.shape[1]
        x = self._padded(codes)
        for layer in self.down:
            x = layer(x)
        if emotion.ndim == 2:
            condition = emotion[:, None]
        else:
            # A residual block's frame stands for several frames of the codes.
            condition = self._padded(emotion).reshape(*x.shape[:2], self.frame_multiple, -1).mean(axis=2)
        for block in self.residual:
            x = block(x, condition)
        for layer in self.up:
            x = layer(x)
        converted = at_least_float32(self.output(x)[:, :frames])
        return codes + converted if self.adds_input else converted

    def _padded(self, x: Float[Array, "B T C"]) -> Float[Array, "B T2 C"]:
        """To a length that the halvings divide."""
        return jnp.pad(x, ((0, 0), (0, -x.shape[1] % self.frame_multiple), (0, 0)), mode="edge")


class CodeDiscriminator(nnx.Module):
    """Whether codes are real, and of which emotion they are.

    NOTE: the heads' outputs are averaged over time; the original accepts only the length that leaves a single frame.
    """

    def __init__(self, config: CodeGANConfig, *, keys: KeySequence):
        self.min_frames = 1
        for kernel in reversed(config.discriminator_kernels[1:]):
            self.min_frames = (self.min_frames - 1) * RESAMPLING_STRIDE + kernel
        conv = functools.partial(Conv1d, dtype=config.dtype, keys=keys)
        halving = functools.partial(conv, stride=RESAMPLING_STRIDE, padding=0)
        widths = itertools.pairwise((config.code_channels, *config.discriminator_widths))
        first, *later = zip(widths, config.discriminator_kernels, config.discriminator_groups, strict=True)
        layers = [conv(*first[0], first[1], groups=first[2])]
        layers += [halving(*sizes, kernel, groups=groups) for sizes, kernel, groups in later]
        self.layers = Stack(layers)
        self.source = conv(config.discriminator_widths[-1], 1, 1)
        self.classes = conv(config.discriminator_widths[-1], config.emotions, 1)

    def __call__(self, codes: Float[Array, "B T C"]) -> DiscriminatorOutput:
        if codes.shape[1] < self.min_frames:
            raise ConfigError(
                f"The codes have {codes.shape[1]} frames; the discriminator needs at least {self.min_frames}."
            )
        x = codes
        for layer in self.layers:
            x = jax.nn.leaky_relu(layer(x), LEAKY_SLOPE)
        source, classes = at_least_float32(self.source(x)), at_least_float32(self.classes(x))
        return DiscriminatorOutput(source.mean(axis=1), classes.mean(axis=1))
