"""SpeechSplit: an autoencoder that separates content, rhythm, pitch and timbre, and its F0 converter.

Source: Qian et al. 2020, "Unsupervised Speech Decomposition via Triple Information Bottleneck", arXiv 2004.11284; sizes
as in the authors' code (github.com/auspicious3000/SpeechSplit, `hparams.py`, and `model.py`: `Generator_3` is the
autoencoder, `Generator_6` the F0 converter).
"""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from evc_jax.errors import ConfigError
from evc_jax.models.layers import Conv1d, GroupNorm, Linear, Stack, at_least_float32
from evc_jax.models.lstm import BiLSTM
from evc_jax.models.network import KeySequence, pytree_dataclass
from evc_jax.models.speechsplit.config import EncoderConfig, F0ConverterConfig, SpeechSplitConfig
from evc_jax.models.speechsplit.random_resampling import Resampling, ResamplingConfig, random_resample

RELU_GAIN = math.sqrt(2.0)


@pytree_dataclass
class Codes:
    """The bottlenecks' output, one step per `factor` frames of each encoder."""

    content: Float[Array, "B Tc Cc"]
    rhythm: Float[Array, "B Tr Cr"]
    pitch: Float[Array, "B Tp Cp"]


Resamplings = tuple[Resampling, ...]

# Classes of `quantize_f0`, or NO_F0; or one-hot rows over the classes, which may be soft.
NO_F0 = -1
F0 = Int[Array, "B T"] | Float[Array, "B T K"]


class ConvBlock(nnx.Module):
    """Convolution of unchanged length, group normalization, ReLU."""

    def __init__(self, inputs: int, width: int, config, *, keys: KeySequence):
        self.conv = Conv1d(inputs, width, config.kernel, gain=RELU_GAIN, dtype=config.dtype, keys=keys)
        self.norm = GroupNorm(width, width // config.group_channels)

    def __call__(self, x: Float[Array, "B T I"]) -> Float[Array, "B T O"]:
        return jax.nn.relu(self.norm(self.conv(x)))


class Encoder(nnx.Module):
    """Convolution blocks, a narrow BiLSTM, and down-sampling in time."""

    def __init__(self, inputs: int, encoder: EncoderConfig, config, *, keys: KeySequence):
        widths = [inputs] + [encoder.width] * encoder.blocks
        self.blocks = Stack([ConvBlock(a, b, config, keys=keys) for a, b in itertools.pairwise(widths)])
        self.lstm = BiLSTM(encoder.width, encoder.neck, layers=encoder.lstm_layers, dtype=config.dtype, keys=keys)
        self.neck, self.factor, self.resampling = encoder.neck, encoder.factor, config.resampling

    def codes(self, hidden: Float[Array, "B T C"]) -> Float[Array, "B Tc Cc"]:
        """The bottleneck after the last block: each direction at the last frame of a code step in its order."""
        outputs = self.lstm(hidden)
        last = outputs[:, self.factor - 1 :: self.factor, : self.neck]
        first = outputs[:, :: self.factor, self.neck :]
        return jnp.concatenate([last, first], axis=-1)

    def __call__(self, x: Float[Array, "B T I"], resamplings: Resamplings | None = None) -> Float[Array, "B Tc Cc"]:
        for index, block in enumerate(self.blocks):
            x = block(x)
            if resamplings is not None:
                x = _resample(x, resamplings[index], self.resampling)
        return self.codes(x)


class Decoder(nnx.Module):
    """BiLSTM and a linear map, without an output non-linearity."""

    def __init__(self, inputs: int, outputs: int, config, *, keys: KeySequence):
        width, layers = config.decoder_width, config.decoder_layers
        self.lstm = BiLSTM(inputs, width, layers=layers, dtype=config.dtype, keys=keys)
        self.projection = Linear(2 * width, outputs, gain=1.0, dtype=config.dtype, keys=keys)

    def __call__(self, *codes: Float[Array, "B _N _C"], frames: int) -> Float[Array, "B T O"]:
        """`frames` frames, during which each code is held for equally long."""
        return at_least_float32(self.projection(self.lstm(*codes, frames=frames)))


class SpeechSplit(nnx.Module):
    """The autoencoder. Parameters under `content`, `rhythm`, `pitch` and `decoder`."""

    def __init__(self, config: SpeechSplitConfig, *, keys: KeySequence):
        self.config = config
        self.content = Encoder(config.mel_bands, config.content, config, keys=keys)
        self.rhythm = Encoder(config.mel_bands, config.rhythm, config, keys=keys)
        self.pitch = Encoder(config.f0_classes, config.pitch, config, keys=keys)
        code_channels = sum(e.code_channels for e in (config.content, config.rhythm, config.pitch))
        self.decoder = Decoder(code_channels + config.embedding_channels, config.mel_bands, config, keys=keys)

    def encode(
        self,
        mel: Float[Array, "B T F"],
        f0: F0,
        rhythm_mel: Float[Array, "B T F"] | None = None,
        resamplings: Resamplings | None = None,
    ) -> Codes:
        """Frames to codes.

        Args:
          mel: log-mel spectrogram in [0, 1]; in training resampled together with the F0.
          f0: of the same frames.
          rhythm_mel: input of the rhythm encoder where it differs from `mel`: in training, before resampling.
          resamplings: in training one per convolution block; content and pitch share it, so that the timing reaches
            the decoder only through the rhythm code.
        """
        _check_frames(mel.shape[1], self.config.frame_multiple)
        rhythm = self.rhythm(mel if rhythm_mel is None else rhythm_mel)
        pitch = _one_hot(f0, self.config.f0_classes)
        width = self.config.content.width
        for index, (block, pitch_block) in enumerate(zip(self.content.blocks, self.pitch.blocks, strict=True)):
            mel, pitch = block(mel), pitch_block(pitch)
            if resamplings is not None:
                both = jnp.concatenate([mel, pitch], axis=-1)
                both = _resample(both, resamplings[index], self.config.resampling)
                mel, pitch = both[..., :width], both[..., width:]
        return Codes(content=self.content.codes(mel), rhythm=rhythm, pitch=self.pitch.codes(pitch))

    def decode(self, codes: Codes, speaker_embedding: Float[Array, "B E"]) -> Float[Array, "B T F"]:
        """Codes and a voice to a log-mel spectrogram."""
        frames = codes.content.shape[1] * self.config.content.factor
        return self.decoder(codes.content, codes.rhythm, codes.pitch, speaker_embedding[:, None], frames=frames)

    def __call__(
        self,
        mel: Float[Array, "B T F"],
        f0: F0,
        speaker_embedding: Float[Array, "B E"],
        rhythm_mel: Float[Array, "B T F"] | None = None,
        resamplings: Resamplings | None = None,
    ) -> Float[Array, "B T F"]:
        """The reconstruction; see `encode`."""
        return self.decode(self.encode(mel, f0, rhythm_mel, resamplings), speaker_embedding)


class F0Converter(nnx.Module):
    """Moves one utterance's pitch onto another's rhythm. Parameters under `rhythm`, `pitch` and `decoder`."""

    def __init__(self, config: F0ConverterConfig, *, keys: KeySequence):
        self.config = config
        self.rhythm = Encoder(config.mel_bands, config.rhythm, config, keys=keys)
        self.pitch = Encoder(config.f0_classes, config.pitch, config, keys=keys)
        inputs = config.rhythm.code_channels + config.pitch.code_channels
        self.decoder = Decoder(inputs, config.f0_classes, config, keys=keys)

    def __call__(
        self, rhythm_mel: Float[Array, "B T F"], f0: F0, resamplings: Resamplings | None = None
    ) -> Float[Array, "B T K"]:
        """Logits over the F0 classes of `rhythm_mel`'s frames.

        Args:
          rhythm_mel: log-mel of the utterance whose timing counts.
          f0: of the utterance whose pitch counts.
          resamplings: in training one per convolution block of the pitch encoder.
        """
        _check_frames(rhythm_mel.shape[1], self.config.frame_multiple)
        rhythm = self.rhythm(rhythm_mel)
        pitch = self.pitch(_one_hot(f0, self.config.f0_classes), resamplings)
        return self.decoder(rhythm, pitch, frames=rhythm_mel.shape[1])


def _one_hot(f0: F0, classes: int) -> Float[Array, "B T K"]:
    return jax.nn.one_hot(f0, classes) if jnp.issubdtype(f0.dtype, jnp.integer) else f0


def _resample(x: Array, resampling: Resampling, config: ResamplingConfig) -> Array:
    """Resamples the whole padded sequence, as the reference does between the blocks."""
    return random_resample(x, jnp.full(x.shape[:1], x.shape[1]), resampling, config)


def _check_frames(frames: int, multiple: int) -> None:
    if frames % multiple:
        raise ConfigError(f"The sequence has {frames} frames; pad it to a multiple of {multiple}.")
