"""The voices that a conversion can be asked for; checks that read no file. Imports nothing slow."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evc_jax.conversion import voice_store
from evc_jax.errors import ConfigError, meant
from evc_jax.features import EMBEDDING_DIM
from evc_jax.pretrained.bundle import Bundle

SEXES = ("male", "female")  # in the order of VoiceGAN's one-hot vector
ORIGINAL_VOICE = "original"
SAMPLED_VOICE = "sampled:"
EMBEDDING_VOICE = "embedding:"  # and a speaker embedding, as saved settings hold one

Voice = str | os.PathLike | np.ndarray


def is_original(voice: Voice) -> bool:
    """Whether the voice is the source's own."""
    return not isinstance(voice, np.ndarray) and os.fspath(voice) == ORIGINAL_VOICE


def embedding_text(embedding: np.ndarray) -> str:
    """A speaker embedding [256] as a voice in text: base64 of its float32 numbers, so that it can be saved."""
    return EMBEDDING_VOICE + base64.b64encode(embedding.astype("<f4").tobytes()).decode()


def embedding_of(voice: Voice) -> Voice:
    """The array that a voice of `embedding_text` stands for; other voices as they are.

    Raises:
      ConfigError: the text holds no 256 numbers.
    """
    if not isinstance(voice, str) or not voice.startswith(EMBEDDING_VOICE):
        return voice
    try:
        values = base64.b64decode(voice.removeprefix(EMBEDDING_VOICE), validate=True)
    except (binascii.Error, ValueError):
        values = b""
    if len(values) != 4 * EMBEDDING_DIM:
        raise ConfigError(
            f"The voice {voice[:24]!r} does not hold {EMBEDDING_DIM} numbers; give it as saved settings have it."
        )
    return np.frombuffer(values, "<f4")


def check_types(voice: Any) -> None:
    """Raises ConfigError unless a voice, or each of several, is of a type that one can have."""
    for each in voice if isinstance(voice, list | tuple) else (voice,):
        if not isinstance(each, str | os.PathLike | np.ndarray):
            raise ConfigError(f"The voice is {each!r:.40}; give a name, a file or an array.")


def check_voices(voices: Sequence[Voice], timbre: float) -> None:
    """Finds the mistakes that show without reading a file.

    Args:
      voices: to average, as in `ConversionOptions`.
      timbre: the share of the way from the source's voice to them.

    Raises:
      ConfigError: no voice, an unknown sex to sample, no such file, the source's own voice among others, or a share of
        the way to the source's own voice.
    """
    if not voices:
        raise ConfigError("An empty list of voices was given; name at least one.")
    for voice in voices:
        if len(voices) > 1 and is_original(voice):
            raise ConfigError(
                f"The voice {ORIGINAL_VOICE!r} cannot be averaged with others; to go part of the way from the source's "
                "voice to another, set timbre."
            )
        _check_voice(voice)
    if timbre not in (0, 1) and is_original(voices[0]):
        raise ConfigError(f"The timbre {timbre:g} leads from the source's voice to another one; give that voice, too.")


def _check_voice(voice: Voice) -> None:
    if isinstance(voice, np.ndarray) or is_original(voice):
        return
    name = os.fspath(voice)
    if name.startswith(SAMPLED_VOICE):
        check_sex(name.removeprefix(SAMPLED_VOICE))
    elif not voice_store.is_name(name):  # a name may be one that a bundle knows
        check_known(voice)


def check_known(voice: Voice, bundle: Bundle | None = None) -> None:
    """Raises ConfigError for a voice that is no path, and a name neither in the bundle nor in `voice_store`."""
    if isinstance(voice, np.ndarray) or is_original(voice) or os.fspath(voice).startswith(SAMPLED_VOICE):
        return
    name = os.fspath(voice)
    of_bundle = bundle.description.get("voices", ()) if bundle else ()
    if not (Path(name).exists() or name in of_bundle or voice_store.find(name)):
        close = meant(name, [ORIGINAL_VOICE, *(SAMPLED_VOICE + sex for sex in SEXES), *of_bundle, *voice_store.names()])
        raise ConfigError(
            f"The voice {name!r} is no file, folder or known name{close}; give a recording, a folder of recordings, a "
            "voice that `evc voices` wrote or the bundle has, original, sampled:female or sampled:male."
        )


def check_sex(sex: str) -> None:
    """Raises ConfigError unless voices can be sampled for it."""
    if sex not in SEXES:
        raise ConfigError(f"No voice can be sampled as {sex!r}; give sampled:female or sampled:male.")
