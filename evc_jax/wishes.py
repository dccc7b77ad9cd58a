"""What a conversion can be asked for, checked before anything slow is loaded."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evc_jax.bundle import Bundle
from evc_jax.errors import BundleError, ConfigError

VOCODERS = ("griffin-lim", "waveglow")
SEXES = ("male", "female")  # in the order of VoiceGAN's one-hot vector
ORIGINAL_VOICE = "original"
SAMPLED_VOICE = "sampled:"
MAX_STRENGTH = 3.0  # the decoder has never seen codes further out
MAX_SIGMA = 2.0
DEFAULT_SIGMA = 0.7

Voice = str | os.PathLike | np.ndarray


@dataclass(frozen=True, eq=False)
class Wishes:
    """What a conversion should do; the defaults rebuild the source.

    Attributes:
      emotion: one of the bundle's emotions; None keeps the source's.
      strength: 0 is the source's own prosody, 1 CodeGAN's output; between and beyond, up to `MAX_STRENGTH`, the codes
        are interpolated.
      voice: "original", "sampled:female", "sampled:male", a file or an array: see `voices.Voices.resolve`.
      seed: of sampled voices and of the vocoder.
      vocoder: one of `VOCODERS`; None is the bundle's default.
      sigma: WaveGlow's noise, best between 0.6 and 1.
    """

    emotion: str | None = None
    strength: float | int = 1.0
    voice: Voice = ORIGINAL_VOICE
    seed: int = 0
    vocoder: str | None = None
    sigma: float | int = DEFAULT_SIGMA

    def __post_init__(self):
        if not (math.isfinite(self.strength) and 0 <= self.strength <= MAX_STRENGTH):
            raise ConfigError(f"The strength is {self.strength:g}; give a number from 0 to {MAX_STRENGTH:g}.")
        if not (math.isfinite(self.sigma) and 0 <= self.sigma <= MAX_SIGMA):
            raise ConfigError(f"The sigma is {self.sigma:g}; give a number from 0 to {MAX_SIGMA:g}.")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"The seed is {self.seed}; give an integer from 0 to {2**32 - 1}.")
        if self.vocoder is not None and self.vocoder not in VOCODERS:
            raise ConfigError(f"There is no vocoder {self.vocoder!r}; choose one of {', '.join(VOCODERS)}.")
        check_voice(self.voice)

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
        if isinstance(self.voice, str) and self.voice.startswith(SAMPLED_VOICE):
            bundle.require("voicegan")


def check_voice(voice: Voice) -> None:
    """Finds the mistakes that show without reading a file.

    Raises:
      ConfigError: an unknown sex to sample, or no such file.
    """
    if isinstance(voice, np.ndarray) or os.fspath(voice) == ORIGINAL_VOICE:
        return
    name = os.fspath(voice)
    if name.startswith(SAMPLED_VOICE):
        check_sex(name.removeprefix(SAMPLED_VOICE))
    elif not Path(name).is_file():
        raise ConfigError(
            f"The voice {name!r} is no file; give a recording, a voice that `evc voices` wrote, original, "
            "sampled:female or sampled:male."
        )


def check_sex(sex: str) -> None:
    """Raises ConfigError unless voices can be sampled for it."""
    if sex not in SEXES:
        raise ConfigError(f"No voice can be sampled as {sex!r}; say sampled:female or sampled:male.")
