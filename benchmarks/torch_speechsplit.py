"""SpeechSplit and its F0 converter in plain PyTorch, as one would write them down; written from ours.

Weights are named like the originals', so that `evc_jax.torch_import.torch_speechsplit` reads them, and the networks
are called like theirs. Those resample at random between the blocks of a training; these never do.
"""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional

from evc_jax.models.speechsplit.config import EncoderConfig, F0ConverterConfig, SpeechSplitConfig
from evc_jax.models.speechsplit.random_resampling import MIN_SCALE, SCALE_RANGE, ResamplingConfig

Config = SpeechSplitConfig | F0ConverterConfig


class Conv(nn.Module):
    """A convolution that keeps the number of frames."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class ContentAndPitchEncoder(nn.Module):
    """Mel and F0, side by side in channels [B, F + K, T], to both codes [B, N, C]."""

    def __init__(self, config: SpeechSplitConfig):
        super().__init__()
        self.mel_bands, self.factors = config.mel_bands, (config.content.factor, config.pitch.factor)
        self.convolutions_1 = _blocks(config.mel_bands, config.content, config)
        self.lstm_1 = _bottleneck(config.content)
        self.convolutions_2 = _blocks(config.f0_classes, config.pitch, config)
        self.lstm_2 = _bottleneck(config.pitch)
        self.register_buffer("len_org", torch.tensor(config.resampling.padded_frames))

    def forward(self, mel_and_f0: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mel, f0 = mel_and_f0[:, : self.mel_bands], mel_and_f0[:, self.mel_bands :]
        content = _codes(mel, self.convolutions_1, self.lstm_1, self.factors[0])
        return content, _codes(f0, self.convolutions_2, self.lstm_2, self.factors[1])


class Encoder(nn.Module):
    """One kind of frames [B, I, T] to its codes [B, N, C]."""

    def __init__(self, inputs: int, encoder: EncoderConfig, config: Config):
        super().__init__()
        self.factor = encoder.factor
        self.convolutions = _blocks(inputs, encoder, config)
        self.lstm = _bottleneck(encoder)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _codes(x, self.convolutions, self.lstm, self.factor)


class Projection(nn.Module):
    """A linear map."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.linear_layer = nn.Linear(inputs, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear_layer(x)


class Decoder(nn.Module):
    """Codes [B, N, C], each held for equally many frames, to frames [B, T, O]."""

    def __init__(self, inputs: int, outputs: int, config: Config):
        super().__init__()
        self.lstm = _bilstm(inputs, config.decoder_width, config.decoder_layers)
        self.linear_projection = Projection(2 * config.decoder_width, outputs)

    def forward(self, *codes: torch.Tensor, frames: int) -> torch.Tensor:
        held = [code.repeat_interleave(frames // code.shape[1], dim=1) for code in codes]
        return self.linear_projection(self.lstm(torch.cat(held, dim=2))[0])


class SpeechSplit(nn.Module):
    """The autoencoder, the authors' `Generator_3`."""

    def __init__(self, config: SpeechSplitConfig):
        super().__init__()
        self.encoder_1 = ContentAndPitchEncoder(config)
        self.encoder_2 = Encoder(config.mel_bands, config.rhythm, config)
        codes = sum(encoder.code_channels for encoder in (config.content, config.rhythm, config.pitch))
        self.decoder = Decoder(codes + config.embedding_channels, config.mel_bands, config)

    def rhythm(self, mel: torch.Tensor) -> torch.Tensor:
        """The rhythm code [B, N, C] of a mel-spectrogram [B, T, F]."""
        return self.encoder_2(mel.mT)

    def forward(self, mel_and_f0: torch.Tensor, mel: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Reconstruction [B, T, F] from mel and F0 [B, T, F + K], the mel of the rhythm, and a voice [B, E]."""
        content, pitch = self.encoder_1(mel_and_f0.mT)
        return self.decoder(content, self.rhythm(mel), pitch, embedding[:, None], frames=mel.shape[1])


class F0Converter(nn.Module):
    """One utterance's pitch on another's rhythm, the authors' `Generator_6`."""

    def __init__(self, config: F0ConverterConfig):
        super().__init__()
        self.encoder_2 = Encoder(config.mel_bands, config.rhythm, config)
        self.encoder_3 = Encoder(config.f0_classes, config.pitch, config)
        self.encoder_3.register_buffer("len_org", torch.tensor(config.resampling.padded_frames))
        codes = config.rhythm.code_channels + config.pitch.code_channels
        self.decoder = Decoder(codes, config.f0_classes, config)

    def forward(self, mel: torch.Tensor, f0: torch.Tensor) -> torch.Tensor:
        """Logits [B, T, K] from the mel [B, T, F] of the rhythm and a one-hot F0 [B, T, K]."""
        return self.decoder(self.encoder_2(mel.mT), self.encoder_3(f0.mT), frames=mel.shape[1])


def draw_resampling(batch: int, config: ResamplingConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Stretch factor and length in frames of every segment [B * N], drawn in the authors' order."""
    segments = batch * config.segments
    scales = torch.rand(segments) * SCALE_RANGE + MIN_SCALE
    return scales, torch.randint(config.min_segment_frames, config.max_segment_frames, (segments, 1))[:, 0]


def random_resample(
    x: torch.Tensor, lengths: torch.Tensor, scales: torch.Tensor, segments: torch.Tensor, config: ResamplingConfig
) -> torch.Tensor:
    """Sequences [B, T, C], of which `lengths` frames count, cut into the drawn segments and stretched: [B, P, C]."""
    batch = len(x)
    result = x.new_zeros(batch, config.padded_frames, x.shape[2])
    draws = zip(scales.reshape(batch, -1), segments.reshape(batch, -1), strict=True)
    for sequence, length, made, (factors, frames) in zip(x, lengths, result, draws, strict=True):
        start, stretched = 0, []
        for factor, count in zip(factors, frames.tolist(), strict=True):
            position = torch.arange(2 * config.max_segment_frames) / factor
            # The last frame of a segment, and of the sequence, is only interpolated towards.
            position = position[position.floor() < min(count - 1, int(length) - 1 - start)]
            lower = position.floor().long()
            share, lower = (position - lower)[:, None], lower + start
            stretched.append((1 - share) * sequence[lower] + share * sequence[lower + 1])
            start += count
        whole = torch.cat(stretched)[: config.padded_frames]
        made[: len(whole)] = whole
    return result


def _blocks(inputs: int, encoder: EncoderConfig, config: Config) -> nn.ModuleList:
    widths = itertools.pairwise([inputs] + [encoder.width] * encoder.blocks)
    groups = encoder.width // config.group_channels
    return nn.ModuleList(
        nn.Sequential(Conv(before, width, config.kernel), nn.GroupNorm(groups, width)) for before, width in widths
    )


def _bottleneck(encoder: EncoderConfig) -> nn.LSTM:
    return _bilstm(encoder.width, encoder.neck, encoder.lstm_layers)


def _bilstm(inputs: int, width: int, layers: int) -> nn.LSTM:
    return nn.LSTM(inputs, width, layers, batch_first=True, bidirectional=True)


def _codes(x: torch.Tensor, blocks: nn.ModuleList, lstm: nn.LSTM, factor: int) -> torch.Tensor:
    """Of frames [B, I, T] the bottleneck, each direction at the last frame of a code in its order."""
    for block in blocks:
        x = functional.relu(block(x))
    forwards, backwards = lstm(x.mT)[0].chunk(2, dim=2)
    return torch.cat([forwards[:, factor - 1 :: factor], backwards[:, ::factor]], dim=2)
