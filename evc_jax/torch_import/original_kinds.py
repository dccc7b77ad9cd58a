"""The networks that a file of the originals may hold: how each is recognised, and where its sizes are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evc_jax.errors import ConfigError
from evc_jax.models.gan.codegan import CodeDiscriminator, CodeGenerator
from evc_jax.models.gan.voicegan import VoiceDiscriminator, VoiceGenerator
from evc_jax.models.speechsplit.network import F0Converter, SpeechSplit
from evc_jax.models.voice_encoder import VoiceEncoder
from evc_jax.models.waveglow.network import WaveGlow
from evc_jax.torch_import import torch_gans, torch_speechsplit, torch_voice_encoder, torch_waveglow
from evc_jax.torch_import.original_states import OriginalState, scalar
from evc_jax.torch_import.torch_names import State, Weight

DEFAULT_STRIDE = 256


@dataclass(frozen=True)
class Unseen:
    """What a checkpoint does not tell, where it is not the originals'.

    Attributes:
      hparams: numbers of SpeechSplit's `hparams.py`, under the authors' names (`torch_speechsplit.AUTHORS_HPARAMS`).
      hop_samples: of a WaveGlow that was saved without its module.
      audio: one of `originals.AUDIO`, what a WaveGlow was trained with; None goes by the file's name.
      emotions: of CodeGAN, in the order of its one-hot vector.
      code: which codes CodeGAN converts.
    """

    hparams: Mapping[str, int] = field(default_factory=dict)
    hop_samples: int | None = None
    audio: str | None = None
    emotions: tuple[str, ...] | None = None
    code: str | None = None


@dataclass(frozen=True)
class Kind:
    """One of the networks that a file may hold.

    Attributes:
      system, title: see `originals.Converted`.
      recognises: whether a state dict is of this kind.
      config: the sizes.
      weights: names and layouts of its tensors.
      module: the network.
      optional: pattern of the tensors that are not used.
    """

    system: str
    title: str
    recognises: Callable[[State], bool]
    config: Callable[[State, Unseen, OriginalState], Any]
    weights: Callable[[Any], list[Weight]]
    module: type
    optional: str = r"(?!)"


def _speechsplit(state: State, unseen: Unseen, original: OriginalState) -> Any:
    return torch_speechsplit.speechsplit_config(state, _hparams(state, unseen, "encoder_1.len_org"))


def _f0_converter(state: State, unseen: Unseen, original: OriginalState) -> Any:
    return torch_speechsplit.f0_converter_config(state, _hparams(state, unseen, "encoder_3.len_org"))


def _hparams(state: State, unseen: Unseen, padded: str) -> dict[str, int]:
    unknown = sorted(set(unseen.hparams) - set(torch_speechsplit.AUTHORS_HPARAMS))
    if unknown:
        known = ", ".join(torch_speechsplit.AUTHORS_HPARAMS)
        raise ConfigError(f"hparam {', '.join(unknown)} is not one that shapes hide; expected {known}.")
    length = scalar(state, padded)
    return {**({} if length is None else {"max_len_pad": length}), **unseen.hparams}


def _waveglow(state: State, unseen: Unseen, original: OriginalState) -> Any:
    stride = unseen.hop_samples or original.upsample_stride or DEFAULT_STRIDE
    return torch_waveglow.waveglow_config(state, stride)


def _rank(state: State, name: str) -> int:
    return np.ndim(state[name]) if name in state else -1


KINDS = (
    Kind(
        "speechsplit",
        "SpeechSplit's autoencoder",
        lambda state: "encoder_1.convolutions_1.0.0.conv.weight" in state,
        _speechsplit,
        torch_speechsplit.speechsplit_weights,
        SpeechSplit,
        r"encoder_1\.len_org",
    ),
    Kind(
        "f0_converter",
        "SpeechSplit's F0 converter",
        lambda state: "encoder_3.convolutions.0.0.conv.weight" in state,
        _f0_converter,
        torch_speechsplit.f0_converter_weights,
        F0Converter,
        r"encoder_3\.len_org",
    ),
    Kind(
        "waveglow",
        "WaveGlow",
        lambda state: "upsample.weight" in state and "convinv.0.conv.weight" in state,
        _waveglow,
        torch_waveglow.waveglow_weights,
        WaveGlow,
    ),
    Kind(
        "codegan",
        "CodeGAN's generator",
        lambda state: "main.0.0.weight" in state,
        lambda state, unseen, original: torch_gans.codegan_config(state, None),
        torch_gans.code_generator_weights,
        CodeGenerator,
        r".*\.(running_mean|running_var|num_batches_tracked)",
    ),
    Kind(
        "codegan_discriminator",
        "CodeGAN's discriminator",
        lambda state: _rank(state, "main.0.weight") == 3 and "src.weight" in state,
        lambda state, unseen, original: torch_gans.codegan_config(None, state),
        torch_gans.code_discriminator_weights,
        CodeDiscriminator,
    ),
    Kind(
        "voicegan_discriminator",
        "VoiceGAN's discriminator",
        lambda state: _rank(state, "main.0.weight") == 2 and "src.weight" in state,
        lambda state, unseen, original: torch_gans.voicegan_config(None, state),
        torch_gans.voice_discriminator_weights,
        VoiceDiscriminator,
    ),
    Kind(
        "voicegan",
        "VoiceGAN's generator",
        lambda state: _rank(state, "main.0.weight") == 2,
        lambda state, unseen, original: torch_gans.voicegan_config(state, None),
        torch_gans.voice_generator_weights,
        VoiceGenerator,
    ),
    Kind(
        "voice_encoder",
        "Resemblyzer's voice encoder",
        lambda state: "lstm.weight_ih_l0" in state and "linear.weight" in state,
        lambda state, unseen, original: torch_voice_encoder.voice_encoder_config(state),
        torch_voice_encoder.voice_encoder_weights,
        VoiceEncoder,
        r"similarity_(weight|bias)",
    ),
)
