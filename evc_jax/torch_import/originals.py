"""Checkpoints of the original PyTorch systems as our configs and parameters.

Which network a file holds, and its sizes, are read off the names and shapes of its tensors. What leaves no trace there
(how far codes are down-sampled, the size of normalisation groups, a vocoder's sample rate, the names of emotions) is
the originals' own unless `Unseen` says otherwise.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from evc_jax.audio.config import AudioConfig
from evc_jax.errors import CheckpointError, ConfigError
from evc_jax.models.network import Network, Params
from evc_jax.torch_import.original_kinds import KINDS, Kind, Unseen
from evc_jax.torch_import.original_states import check_values, find_state, read_values, shown
from evc_jax.torch_import.torch_names import Weight, from_torch
from evc_jax.torch_import.torch_reader import TorchFile, read_torch_file
from evc_jax.torch_import.torch_waveglow import with_weight_norm

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
class Converted:
    """A converted checkpoint.

    Attributes:
      system: which network it is, one of `bundle.NETWORKS` or another.
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

    @property
    def weights(self) -> int:
        """Number of weights."""
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(self.params))


def convert(path: str | os.PathLike, unseen: Unseen = Unseen()) -> Converted:
    """Reads a checkpoint of the originals.

    Raises:
      EvcError: it cannot be read, holds none of the originals' networks, or does not fit what `unseen` says.
    """
    file = read_torch_file(path)
    original = find_state(file)
    state = with_weight_norm(read_values(file, original.tensors))
    kind = next((kind for kind in KINDS if kind.recognises(state)), None)
    if kind is None:
        raise CheckpointError(
            f"{file.path} holds none of the networks that are known; its tensors are {shown(sorted(state))}."
        )
    try:
        config = kind.config(state, unseen, original)
        weights = kind.weights(config)
        unused = check_values(file, state, {weight.name for weight in weights}, kind.optional)
        params = from_torch(state, weights)
        _check_shapes(Network(kind.module, config), params, weights)
        options = _codegan_options(config, unseen) if kind.system == "codegan" else {}
    except (ConfigError, CheckpointError) as error:
        named = str(error) if str(file.path) in str(error) else f"{file.path} ({kind.title}): {error}"
        raise type(error)(named) from error
    return Converted(
        system=kind.system,
        title=kind.title,
        config=config,
        params=params,
        audio=_audio(kind, file, unseen, config),
        options=options,
        step=original.step,
        source={"file": file.path.name, "sha256": _digest(file.path)},
        ignored=(*original.ignored, *unused),
    )


def _check_shapes(network: Network, params: Params, weights: list[Weight]) -> None:
    shapes = network.shapes()
    for weight in weights:
        ours, expected = params, shapes
        for key in weight.path:
            ours, expected = ours[key], expected[key]
        if ours.shape != expected.shape:
            raise CheckpointError(
                f"the tensor {weight.name} has shape {list(weight.layout.theirs(ours).shape)}, which does not fit the "
                "others'; give a checkpoint of the original network."
            )


def _codegan_options(config: Any, unseen: Unseen) -> dict[str, Any]:
    emotions = unseen.emotions or (EMOTIONS if config.emotions == len(EMOTIONS) else None)
    if emotions is None or len(emotions) != config.emotions:
        raise ConfigError(
            f"it knows {config.emotions} emotions and {len(emotions or ())} are named; name them in the order of its "
            "training (--emotions)."
        )
    code = unseen.code or CODE_OF_CHANNELS.get(config.code_channels, DEFAULT_CODE)
    return {"emotions": list(emotions), "code": code}


def _audio(kind: Kind, file: TorchFile, unseen: Unseen, config: Any) -> AudioConfig:
    name = unseen.audio
    if name is None:
        universal = kind.system == "waveglow" and any(part in file.path.name for part in NVIDIA_FILES)
        name = "nvidia" if universal else "speechsplit"
    if kind.system == "waveglow":
        return dataclasses.replace(AUDIO[name], mel_bands=config.mel_bands, hop_samples=config.upsample_stride)
    if kind.system in ("speechsplit", "f0_converter"):
        return dataclasses.replace(AUDIO[name], mel_bands=config.mel_bands)
    return AUDIO[name]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
