"""What a conversion can be asked for, checked before anything slow is loaded."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evc_jax.conversion import voice_store
from evc_jax.errors import BundleError, ConfigError
from evc_jax.pretrained.bundle import Bundle
from evc_jax.vocoders import DEFAULT_SIGMA, VOCODERS

SEXES = ("male", "female")  # in the order of VoiceGAN's one-hot vector
ORIGINAL_VOICE = "original"
SAMPLED_VOICE = "sampled:"
MAX_STRENGTH = 3.0  # the decoder has never seen codes further out
MAX_PITCH_RANGE = 3.0
MAX_PITCH_SHIFT = 12.0
MIN_RATE, MAX_RATE = 0.5, 2.0
MAX_SIGMA = 2.0
MAX_DENOISE = 1.0

Voice = str | os.PathLike | np.ndarray
# Name, lowest and highest value of each number that can be wished.
BOUNDS = {
    "strength": (0.0, MAX_STRENGTH),
    "pitch_range": (0.0, MAX_PITCH_RANGE),
    "pitch_shift": (-MAX_PITCH_SHIFT, MAX_PITCH_SHIFT),
    "rate": (MIN_RATE, MAX_RATE),
    "timbre": (0.0, 1.0),
    "flatten": (0.0, 1.0),
    "sigma": (0.0, MAX_SIGMA),
    "denoise": (0.0, MAX_DENOISE),
}


@dataclass(frozen=True, eq=False)
class ConversionOptions:
    """What a conversion should do; the defaults rebuild the source. The dials do not depend on each other.

    Attributes:
      emotion: one of the bundle's emotions; None keeps the source's.
      strength: 0 is the source's own prosody, 1 CodeGAN's output; between and beyond, up to `MAX_STRENGTH`, the codes
        are interpolated.
      voice: "original", "sampled:female", "sampled:male", a file, a folder, a name, an array, or a sequence of these
        to average: see `voices.Voices.resolve`.
      seed: of sampled voices and of the vocoder.
      vocoder: one of `VOCODERS`; None is the bundle's default.
      sigma: WaveGlow's noise, best between 0.6 and 1.
      denoise: how much of WaveGlow's hum is taken out; 0 nothing.
      pitch_range: factor of the melody's distance from the speaker's mean log-F0; 0 is flat, 1 neutral.
      pitch_shift: semitones upwards; 0 is neutral.
      rate: 1 is neutral, 1.2 speaks faster by a fifth; the output is as long as the source divided by it.
      timbre: 0 keeps the source's voice, 1 is `voice`'s; between, a voice on the great circle between the two.
      flatten: 0 is neutral, 1 the reference's "fake neutral": a tenth of the pitch code.
    """

    emotion: str | None = None
    strength: float = 1.0
    voice: Voice | Sequence[Voice] = ORIGINAL_VOICE
    seed: int = 0
    vocoder: str | None = None
    sigma: float = DEFAULT_SIGMA
    denoise: float = 0.0
    pitch_range: float = 1.0
    pitch_shift: float = 0.0
    rate: float = 1.0
    timbre: float = 1.0
    flatten: float = 0.0

    def __post_init__(self):
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                words = name.replace("_", " ")
                raise ConfigError(f"The {words} is {value:g}; give a number from {low:g} to {high:g}.")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"The seed is {self.seed}; give an integer from 0 to {2**32 - 1}.")
        if self.vocoder is not None and self.vocoder not in VOCODERS:
            raise ConfigError(f"There is no vocoder {self.vocoder!r}; choose one of {', '.join(VOCODERS)}.")
        voices = self.voices
        if not voices:
            raise ConfigError("An empty list of voices was given; name at least one.")
        for voice in voices:
            check_voice(voice, alone=len(voices) == 1)
        if self.timbre not in (0, 1) and is_original(voices[0]):
            raise ConfigError(
                f"The timbre {self.timbre:g} leads from the source's voice to another one; give that voice, too."
            )

    @property
    def voices(self) -> tuple[Voice, ...]:
        """The wished voices; more than one are averaged."""
        return (self.voice,) if isinstance(self.voice, str | os.PathLike | np.ndarray) else tuple(self.voice)

    def check(self, bundle: Bundle) -> None:
        """Whether the bundle can fulfil them; reads no parameters.

        Raises:
          BundleError: it cannot.
        """
        if self.emotion is not None:
            bundle.require("codegan")
            if self.emotion not in bundle.emotions:
                raise BundleError(f"There is no emotion {self.emotion!r}; choose one of {', '.join(bundle.emotions)}.")
        if (self.vocoder or bundle.default_vocoder) == "waveglow":
            bundle.require("waveglow")
        if any(isinstance(voice, str) and voice.startswith(SAMPLED_VOICE) for voice in self.voices):
            bundle.require("voicegan")


def is_original(voice: Voice) -> bool:
    """Whether the wish is for the source's own voice."""
    return not isinstance(voice, np.ndarray) and os.fspath(voice) == ORIGINAL_VOICE


def check_voice(voice: Voice, alone: bool = True) -> None:
    """Finds the mistakes that show without reading a file.

    Args:
      voice: as in `ConversionOptions`, a single one.
      alone: False for one of several, which cannot be the source's own.

    Raises:
      ConfigError: an unknown sex to sample, or no such file.
    """
    if isinstance(voice, np.ndarray):
        return
    name = os.fspath(voice)
    if is_original(voice):
        if not alone:
            raise ConfigError(
                f"The voice {ORIGINAL_VOICE!r} cannot be averaged with others; to go part of the way from the source's "
                "voice to another, set timbre."
            )
    elif name.startswith(SAMPLED_VOICE):
        check_sex(name.removeprefix(SAMPLED_VOICE))
    elif not Path(name).exists() and voice_store.find(name) is None:
        raise ConfigError(
            f"The voice {name!r} is no file, folder or known name; give a recording, a folder of recordings, a voice "
            "that `evc voices` wrote, original, sampled:female or sampled:male."
        )


def check_sex(sex: str) -> None:
    """Raises ConfigError unless voices can be sampled for it."""
    if sex not in SEXES:
        raise ConfigError(f"No voice can be sampled as {sex!r}; say sampled:female or sampled:male.")


# SpeechSplit's letters: pitch is F for fundamental frequency, timbre U for utterance embedding.
ASPECT_NAMES = {"R": "rhythm", "F": "pitch", "U": "timbre"}


@dataclass(frozen=True)
class TransferAspects:
    """What comes from the target; the rest, and the content, come from the source."""

    rhythm: bool = False
    pitch: bool = False
    timbre: bool = False

    @classmethod
    def parse(cls, letters: str) -> TransferAspects:
        """Reads letters such as "RF", in any order and case.

        Raises:
          ConfigError: none, another letter, or one twice.
        """
        upper = letters.upper()
        if not upper or len(set(upper)) < len(upper) or not set(upper) <= set(ASPECT_NAMES):
            known = ", ".join(f"{letter} ({name})" for letter, name in ASPECT_NAMES.items())
            raise ConfigError(f"The aspects are {letters!r}; give one or more of {known}, each once.")
        return cls(**{name: letter in upper for letter, name in ASPECT_NAMES.items()})

    @property
    def needs_f0_converter(self) -> bool:
        """Whether one recording's pitch is to be spoken in the other one's rhythm."""
        return self.pitch != self.rhythm

    def __str__(self) -> str:
        return "".join(letter for letter, name in ASPECT_NAMES.items() if getattr(self, name))


def all_aspects() -> list[TransferAspects]:
    """The seven combinations, single ones first."""
    letters = [c for size in (1, 2, 3) for c in itertools.combinations(ASPECT_NAMES, size)]
    return [TransferAspects.parse("".join(combination)) for combination in letters]
