"""Sizes of SpeechSplit and its F0 converter (Qian et al. 2020, arXiv 2004.11284)."""

from __future__ import annotations

import dataclasses
import math

from evc_jax.errors import ConfigError
from evc_jax.models.speechsplit.random_resampling import ResamplingConfig


def _check_positive(config) -> None:
    for name, value in vars(config).items():
        if isinstance(value, int) and value < 1:
            raise ConfigError(f"{name} is {value}; expected at least 1.")


# The parts whose outputs are the codes, by their names among the parameters; the rest is the decoder.
ENCODERS = ("content", "rhythm", "pitch")


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """One path from frames to codes.

    Attributes:
      width: channels of the convolution blocks.
      neck: channels per direction of the BiLSTM; the code has twice as many.
      factor: frames per code.
      blocks: convolution blocks.
      lstm_layers: layers of the BiLSTM.
    """

    width: int
    neck: int
    factor: int = 8
    blocks: int = 3
    lstm_layers: int = 1

    def __post_init__(self):
        _check_positive(self)

    @property
    def code_channels(self) -> int:
        """Channels of the code: both directions of the bottleneck."""
        return 2 * self.neck


# The reference's sizes.
CONTENT = EncoderConfig(width=512, neck=8, lstm_layers=2)
RHYTHM = EncoderConfig(width=128, neck=1, blocks=1)
PITCH = EncoderConfig(width=256, neck=32)
RESAMPLING = ResamplingConfig()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _NetworkConfig:
    """What both networks' configs share.

    Attributes:
      group_channels: channels per group of the group normalization.
      kernel: frames of each convolution's kernel, odd.
      dtype: type of the arithmetic; parameters and the output stay float32.
    """

    rhythm: EncoderConfig = RHYTHM
    pitch: EncoderConfig = PITCH
    mel_bands: int = 80
    f0_classes: int = 257
    group_channels: int = 16
    kernel: int = 5
    resampling: ResamplingConfig = RESAMPLING
    dtype: str = "float32"

    def __post_init__(self):
        _check_positive(self)
        if self.kernel % 2 == 0:
            raise ConfigError(f"kernel is {self.kernel}; use an odd number so that the length stays.")
        for encoder in self._encoders():
            groups = encoder.width // self.group_channels
            if groups < 1 or encoder.width % groups:
                raise ConfigError(
                    f"An encoder width of {encoder.width} does not fall into {groups} equal groups of about "
                    f"{self.group_channels} channels; use a multiple of group_channels."
                )

    def _encoders(self) -> list[EncoderConfig]:
        return [value for value in vars(self).values() if isinstance(value, EncoderConfig)]

    @property
    def frame_multiple(self) -> int:
        """Sequences must be a multiple of this many frames long."""
        return math.lcm(*(encoder.factor for encoder in self._encoders()))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeechSplitConfig(_NetworkConfig):
    """Sizes of the autoencoder; the defaults are the reference's."""

    content: EncoderConfig = CONTENT
    embedding_channels: int = 256
    decoder_width: int = 512
    decoder_layers: int = 3

    def __post_init__(self):
        super().__post_init__()
        if self.content.blocks != self.pitch.blocks:
            raise ConfigError(
                f"content.blocks is {self.content.blocks} and pitch.blocks {self.pitch.blocks}; they run side by side "
                "and must be equal."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class F0ConverterConfig(_NetworkConfig):
    """Sizes of the F0 converter; the defaults are the reference's."""

    decoder_width: int = 256
    decoder_layers: int = 2
