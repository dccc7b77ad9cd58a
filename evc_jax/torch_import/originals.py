"""Checkpoints of the original PyTorch systems as our configs and parameters.

Which network a file holds, and its sizes, are read off the names and shapes of its tensors. What leaves no trace there
(how far codes are down-sampled, the size of normalization groups, a vocoder's sample rate, the names of emotions) is
the originals' own unless `HparamOverrides` says otherwise.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evc_jax.audio.config import AudioConfig
from evc_jax.errors import CheckpointError, ConfigError
from evc_jax.models.gan.codegan import CodeGenerator
from evc_jax.models.gan.voicegan import VoiceGenerator
from evc_jax.models.network import Network, Params
from evc_jax.models.speechsplit.network import F0Converter, SpeechSplit
from evc_jax.models.voice_encoder import VoiceEncoder
from evc_jax.models.waveglow.network import WaveGlow
from evc_jax.torch_import import torch_gans, torch_speechsplit, torch_waveglow
from evc_jax.torch_import.original_states import check_values, read_state, shown
from evc_jax.torch_import.torch_names import State, Weight, from_torch, leaf_at
from evc_jax.torch_import.torch_reader import read_torch_file

DEFAULT_HOP_SAMPLES = 256
# The order of emo-clone's one-hot vector.
EMOTIONS = ("angry", "happy", "sad", "neutral")
CODE_OF_CHANNELS = {66: "pitch_rhythm", 64: "pitch", 16: "content", 2: "rhythm"}
DEFAULT_CODE = "pitch_rhythm"
# NVIDIA's mel is the natural logarithm of the magnitude: 8.686 dB are one neper. Its recordings are not high-passed;
# the filter here cannot be turned off, and takes away little but the offset.
NEPER_DB = 20 / math.log(10)
NVIDIA_AUDIO = AudioConfig(
    sample_rate_hz=22050,
    mel_min_hz=0.0,
    mel_max_hz=8000.0,
    highpass_hz=0.1,
    gain=1.0,
    dither=0.0,
    reference_db=NEPER_DB,
    range_db=NEPER_DB,
    level_dbfs=None,
)
AUDIO = {"speechsplit": AudioConfig(), "nvidia": NVIDIA_AUDIO}
NVIDIA_FILES = ("universal", "256channels")


@dataclass(frozen=True)
class HparamOverrides:
    """What a checkpoint does not tell, where it is not the originals'.

    Attributes:
      hparams: numbers of SpeechSplit's `hparams.py`, under the authors' names (`torch_speechsplit.AUTHORS_HPARAMS`).
      hop_samples: of a WaveGlow that was saved without its module.
      audio: one of `AUDIO`, what a WaveGlow was trained with; None goes by the file's name.
      emotions: of CodeGAN, in the order of its one-hot vector.
      code: which codes CodeGAN converts.
    """

    hparams: Mapping[str, int] = field(default_factory=dict)
    hop_samples: int | None = None
    audio: str | None = None
    emotions: tuple[str, ...] | None = None
    code: str | None = None


@dataclass(frozen=True)
class NetworkSpec:
    """One of the networks that a file may hold; `optional` is a pattern of the tensors that are not used."""

    system: str
    title: str
    recognises: Callable[[State], bool]
    config: Callable[[State, HparamOverrides], Any]
    weights: Callable[[Any], list[Weight]]
    module: type
    optional: str = r"(?!)"


@dataclass(frozen=True)
class Converted:
    """A converted checkpoint.

    Attributes:
      system: which network it is, one of `description.NETWORKS` or `voice_encoder`.
      title: the same in words.
      config: its configuration dataclass.
      params: its parameters, float32.
      audio: the settings of the spectrograms that it was trained with.
      options: what else belongs to a training of this system: CodeGAN's emotions and codes.
      step: how long it was trained.
      source: name and SHA-256 of the file.
      ignored: entries of the file and tensors that are not used.
    """

    system: str
    title: str
    config: Any
    params: Params
    audio: AudioConfig
    options: dict[str, Any]
    step: int
    source: dict[str, str]
    ignored: tuple[str, ...]


def _hparams(state: State, overrides: HparamOverrides, padded: str) -> dict[str, int]:
    unknown = sorted(set(overrides.hparams) - set(torch_speechsplit.AUTHORS_HPARAMS))
    if unknown:
        known = ", ".join(torch_speechsplit.AUTHORS_HPARAMS)
        raise ConfigError(f"hparam {', '.join(unknown)} is not one that shapes hide; expected {known}.")
    length = state.get(padded)
    if length is None or length.dtype.kind not in "iu" or length.size == 0:
        return dict(overrides.hparams)
    return {"max_len_pad": int(length.flat[0]), **overrides.hparams}


SPECS = (
    NetworkSpec(
        "speechsplit",
        "SpeechSplit's autoencoder",
        lambda state: "encoder_1.convolutions_1.0.0.conv.weight" in state,
        lambda state, given: torch_speechsplit.speechsplit_config(state, _hparams(state, given, "encoder_1.len_org")),
        torch_speechsplit.speechsplit_weights,
        SpeechSplit,
        r"encoder_1\.len_org",
    ),
    NetworkSpec(
        "f0_converter",
        "SpeechSplit's F0 converter",
        lambda state: "encoder_3.convolutions.0.0.conv.weight" in state,
        lambda state, given: torch_speechsplit.f0_converter_config(state, _hparams(state, given, "encoder_3.len_org")),
        torch_speechsplit.f0_converter_weights,
        F0Converter,
        r"encoder_3\.len_org",
    ),
    NetworkSpec(
        "waveglow",
        "WaveGlow",
        lambda state: "upsample.weight" in state and "convinv.0.conv.weight" in state,
        lambda state, given: torch_waveglow.waveglow_config(state, given.hop_samples or DEFAULT_HOP_SAMPLES),
        torch_waveglow.waveglow_weights,
        WaveGlow,
    ),
    NetworkSpec(
        "codegan",
        "CodeGAN's generator",
        lambda state: "main.0.0.weight" in state,
        lambda state, _: torch_gans.codegan_config(state),
        torch_gans.code_generator_weights,
        CodeGenerator,
        r".*\.(running_mean|running_var|num_batches_tracked)",
    ),
    NetworkSpec(
        "voicegan",
        "VoiceGAN's generator",
        lambda state: np.ndim(state.get("main.0.weight", 0)) == 2 and "src.weight" not in state,
        lambda state, _: torch_gans.voicegan_config(state),
        torch_gans.voice_generator_weights,
        VoiceGenerator,
    ),
    NetworkSpec(
        "voice_encoder",
        "Resemblyzer's voice encoder",
        lambda state: "lstm.weight_ih_l0" in state and "linear.weight" in state,
        lambda state, _: torch_speechsplit.voice_encoder_config(state),
        torch_speechsplit.voice_encoder_weights,
        VoiceEncoder,
        r"similarity_(weight|bias)",
    ),
)


def convert(path: str | os.PathLike, overrides: HparamOverrides = HparamOverrides()) -> Converted:
    """Reads a checkpoint of the originals.

    Raises:
      EvcError: it cannot be read, holds none of the originals' networks, or does not fit what `overrides` says.
    """
    path = Path(path)
    original = read_state(read_torch_file(path))
    overrides = dataclasses.replace(overrides, hop_samples=overrides.hop_samples or original.upsample_stride)
    title = "a checkpoint"
    try:
        state = torch_waveglow.in_latest_form(original.values)
        spec = next((spec for spec in SPECS if spec.recognises(state)), None)
        if spec is None:
            raise CheckpointError(f"holds none of the networks that are known; its tensors are {shown(sorted(state))}.")
        title = spec.title
        config = spec.config(state, overrides)
        weights = spec.weights(config)
        unused = check_values(state, {weight.name for weight in weights}, spec.optional)
        params = from_torch(state, weights)
        _check_shapes(Network(spec.module, config), params, weights)
        options = _codegan_options(config, overrides) if spec.system == "codegan" else {}
    except (ConfigError, CheckpointError) as error:
        raise type(error)(f"{path} ({title}): {error}") from error
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Converted(
        system=spec.system,
        title=spec.title,
        config=config,
        params=params,
        audio=_audio(spec, path, overrides, config),
        options=options,
        step=original.step,
        source={"file": path.name, "sha256": digest},
        ignored=(*original.ignored, *unused),
    )


def _check_shapes(network: Network, params: Params, weights: list[Weight]) -> None:
    shapes = network.shapes()
    for weight in weights:
        ours, expected = leaf_at(params, weight.path), leaf_at(shapes, weight.path)
        if ours.shape != expected.shape:
            raise CheckpointError(
                f"the tensor {weight.name} has shape {list(weight.layout.theirs(ours).shape)}, which does not fit the "
                "others'; give a checkpoint of the original network."
            )


def _codegan_options(config: Any, overrides: HparamOverrides) -> dict[str, Any]:
    emotions = overrides.emotions or (EMOTIONS if config.emotions == len(EMOTIONS) else None)
    if emotions is None or len(emotions) != config.emotions:
        raise ConfigError(
            f"it knows {config.emotions} emotions and {len(emotions or ())} are named; name them in the order of its "
            "training (--emotions)."
        )
    code = overrides.code or CODE_OF_CHANNELS.get(config.code_channels, DEFAULT_CODE)
    return {"emotions": list(emotions), "code": code}


def _audio(spec: NetworkSpec, path: Path, overrides: HparamOverrides, config: Any) -> AudioConfig:
    universal = spec.system == "waveglow" and any(part in path.name for part in NVIDIA_FILES)
    audio = AUDIO[overrides.audio or ("nvidia" if universal else "speechsplit")]
    if spec.system == "waveglow":
        return dataclasses.replace(audio, mel_bands=config.mel_bands, hop_samples=config.upsample_stride)
    return dataclasses.replace(audio, mel_bands=config.mel_bands) if hasattr(config, "mel_bands") else audio
