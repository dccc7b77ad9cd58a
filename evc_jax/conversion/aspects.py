"""The aspects of speech that a transfer takes from another recording. Imports nothing slow."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from evc_jax.errors import ConfigError

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
        upper = str(letters).upper()
        if not upper or len(set(upper)) < len(upper) or not set(upper) <= set(ASPECT_NAMES):
            known = ", ".join(f"{letter} ({name})" for letter, name in ASPECT_NAMES.items())
            raise ConfigError(f"The aspects are {letters!r}; give one or more of {known}, each once.")
        return cls(**{name: letter in upper for letter, name in ASPECT_NAMES.items()})

    @property
    def needs_f0_converter(self) -> bool:
        """Whether one recording's pitch has to be moved to the other one's rhythm."""
        return self.pitch != self.rhythm

    def __str__(self) -> str:
        return "".join(letter for letter, name in ASPECT_NAMES.items() if getattr(self, name))


def all_aspects() -> list[TransferAspects]:
    """The seven combinations, single ones first."""
    return [TransferAspects.parse("".join(c)) for n in (1, 2, 3) for c in itertools.combinations(ASPECT_NAMES, n)]
