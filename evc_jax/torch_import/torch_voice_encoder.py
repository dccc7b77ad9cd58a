"""Config and weights of Resemblyzer's voice encoder."""

from __future__ import annotations

from evc_jax.models.network import Params
from evc_jax.models.voice_encoder import VoiceEncoderConfig
from evc_jax.torch_import.torch_names import (
    State,
    Weight,
    count_matching,
    from_torch,
    linear_weights,
    lstm_weights,
    shape_of,
)


def voice_encoder_from_torch(state: State) -> tuple[VoiceEncoderConfig, Params]:
    """Config, read off the shapes, and parameters."""
    config = voice_encoder_config(state)
    return config, from_torch(state, voice_encoder_weights(config))


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
