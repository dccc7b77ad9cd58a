"""Configs and weights of the original SpeechSplit, its F0 converter, and Resemblyzer's voice encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evc_jax.models.speechsplit.config import EncoderConfig, F0ConverterConfig, SpeechSplitConfig
from evc_jax.models.speechsplit.random_resampling import ResamplingConfig
from evc_jax.models.voice_encoder import VoiceEncoderConfig
from evc_jax.torch_import.torch_names import (
    State,
    Weight,
    bilstm_weights,
    conv_weights,
    count_matching,
    linear_weights,
    lstm_weights,
    norm_weights,
    shape_of,
)

# What shapes cannot tell, as the authors set it.
AUTHORS_HPARAMS = {
    "freq": 8,
    "freq_2": 8,
    "freq_3": 8,
    "chs_grp": 16,
    "min_len_seg": 19,
    "max_len_seg": 32,
    "max_len_seq": 128,
    "max_len_pad": 192,
}


def speechsplit_config(state: State, hparams: Mapping[str, int] | None = None) -> SpeechSplitConfig:
    """Sizes of `Generator_3`; `hparams` are the authors' names, theirs where not given."""
    hparams = {**AUTHORS_HPARAMS, **(hparams or {})}
    common = _common_sizes(state, hparams, "encoder_1.convolutions_2", "encoder_1.lstm_2")
    content = _encoder(state, "encoder_1.convolutions_1", "encoder_1.lstm_1", hparams["freq"])
    codes = sum(encoder.code_channels for encoder in (content, common["rhythm"], common["pitch"]))
    embedding_channels = shape_of(state, "decoder.lstm.weight_ih_l0", 2)[1] - codes
    return SpeechSplitConfig(content=content, embedding_channels=embedding_channels, **common)


def f0_converter_config(state: State, hparams: Mapping[str, int] | None = None) -> F0ConverterConfig:
    """Sizes of `Generator_6`."""
    hparams = {**AUTHORS_HPARAMS, **(hparams or {})}
    return F0ConverterConfig(**_common_sizes(state, hparams, "encoder_3.convolutions", "encoder_3.lstm"))


def _common_sizes(state: State, hparams: Mapping[str, int], pitch: str, pitch_lstm: str) -> dict[str, Any]:
    """What both networks have, from the names of the pitch encoder's convolutions and LSTM."""
    _, mel_bands, kernel = shape_of(state, "encoder_2.convolutions.0.0.conv.weight", 3)
    return {
        "rhythm": _encoder(state, "encoder_2.convolutions", "encoder_2.lstm", hparams["freq_2"]),
        "pitch": _encoder(state, pitch, pitch_lstm, hparams["freq_3"]),
        "mel_bands": mel_bands,
        "f0_classes": shape_of(state, f"{pitch}.0.0.conv.weight", 3)[1],
        "decoder_width": shape_of(state, "decoder.lstm.weight_hh_l0", 2)[1],
        "decoder_layers": _layers(state, "decoder.lstm"),
        "group_channels": hparams["chs_grp"],
        "kernel": kernel,
        "resampling": resampling_config(hparams),
    }


def speechsplit_weights(config: SpeechSplitConfig) -> list[Weight]:
    """All weights of the autoencoder."""
    return [
        *_encoder_weights("content", config.content, "encoder_1.convolutions_1", "encoder_1.lstm_1"),
        *_encoder_weights("rhythm", config.rhythm, "encoder_2.convolutions", "encoder_2.lstm"),
        *_encoder_weights("pitch", config.pitch, "encoder_1.convolutions_2", "encoder_1.lstm_2"),
        *_decoder_weights(config.decoder_layers),
    ]


def f0_converter_weights(config: F0ConverterConfig) -> list[Weight]:
    """All weights of the F0 converter."""
    return [
        *_encoder_weights("rhythm", config.rhythm, "encoder_2.convolutions", "encoder_2.lstm"),
        *_encoder_weights("pitch", config.pitch, "encoder_3.convolutions", "encoder_3.lstm"),
        *_decoder_weights(config.decoder_layers),
    ]


def voice_encoder_config(state: State) -> VoiceEncoderConfig:
    """Sizes of `resemblyzer.VoiceEncoder`."""
    return VoiceEncoderConfig(
        mel_bands=shape_of(state, "lstm.weight_ih_l0", 2)[1],
        hidden=shape_of(state, "lstm.weight_hh_l0", 2)[1],
        layers=count_matching(state, r"lstm\.weight_ih_l(\d+)$"),
        embedding_dim=shape_of(state, "linear.weight", 2)[0],
    )


def voice_encoder_weights(config: VoiceEncoderConfig) -> list[Weight]:
    """All weights that inference needs; the two of the training loss are left out."""
    return lstm_weights(("lstm",), "lstm", config.layers) + linear_weights(("linear",), "linear")


def resampling_config(hparams: Mapping[str, int]) -> ResamplingConfig:
    """Our resampling settings from the authors' names."""
    return ResamplingConfig(
        min_segment_frames=hparams["min_len_seg"],
        max_segment_frames=hparams["max_len_seg"],
        max_length_frames=hparams["max_len_seq"],
        padded_frames=hparams["max_len_pad"],
    )


def _encoder(state: State, convolutions: str, lstm: str, factor: int) -> EncoderConfig:
    return EncoderConfig(
        width=shape_of(state, f"{convolutions}.0.0.conv.weight", 3)[0],
        neck=shape_of(state, f"{lstm}.weight_hh_l0", 2)[1],
        factor=factor,
        blocks=count_matching(state, rf"{convolutions}\.(\d+)\.0\.conv\.weight$"),
        lstm_layers=_layers(state, lstm),
    )


def _layers(state: State, lstm: str) -> int:
    return count_matching(state, rf"{lstm}\.weight_hh_l(\d+)$")


def _encoder_weights(path: str, encoder: EncoderConfig, convolutions: str, lstm: str) -> list[Weight]:
    weights = []
    for i in range(encoder.blocks):
        weights += conv_weights((path, "blocks", str(i), "conv"), f"{convolutions}.{i}.0.conv")
        weights += norm_weights((path, "blocks", str(i), "norm"), f"{convolutions}.{i}.1")
    return weights + bilstm_weights((path, "lstm"), lstm, encoder.lstm_layers)


def _decoder_weights(layers: int) -> list[Weight]:
    projection = linear_weights(("decoder", "projection"), "decoder.linear_projection.linear_layer")
    return bilstm_weights(("decoder", "lstm"), "decoder.lstm", layers) + projection
