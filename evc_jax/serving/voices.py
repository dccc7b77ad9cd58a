"""Voices that requests may have: nothing of the server's disk is ever read for them."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from evc_jax.conversion.options import ORIGINAL_VOICE, SAMPLED_VOICE, SEXES, Voice
from evc_jax.conversion.voices import Voices
from evc_jax.errors import ConfigError
from evc_jax.pretrained.bundle import Bundle

REMEMBERED_VOICES = 256
NAMED_VOICES = (ORIGINAL_VOICE, *(SAMPLED_VOICE + sex for sex in SEXES))


def check_named(voice: str) -> str:
    """The voice, if it is one that needs no file.

    Raises:
      ConfigError: it is another one; whether the server has a file of that name is not told.
    """
    if voice not in NAMED_VOICES:
        raise ConfigError(
            f"The voice {voice[:40]!r} is not one of {', '.join(NAMED_VOICES)}; choose one, or upload recordings of a "
            "voice as voice_file."
        )
    return voice


class RequestVoices(Voices):
    """`Voices` without paths and names, and with a memory that stays small whatever seeds are asked for."""

    def __init__(self, bundle: Bundle):
        super().__init__(bundle)
        self._sampled = functools.lru_cache(REMEMBERED_VOICES)(self._sample_one)

    def resolve(self, voice: Voice | Sequence[Voice], seed: int = 0) -> Float[np.ndarray, " C"] | None:
        """An embedding is taken as it is; see `check_named` for names."""
        if isinstance(voice, np.ndarray):
            return voice
        name = check_named(str(voice))
        return None if name == ORIGINAL_VOICE else self._sampled(name.removeprefix(SAMPLED_VOICE), seed)

    def _sample_one(self, sex: str, seed: int) -> Float[np.ndarray, " C"]:
        return self.sample(1, sex, seed)[0]
