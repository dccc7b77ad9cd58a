"""What an evaluation measures. Imports nothing slow."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evc_jax.conversion.emotion_track import MAX_STRENGTH
from evc_jax.errors import ConfigError

SECTIONS = ("emotion", "voice", "words", "vocoders", "controls", "transfer")
QUICK_SECTIONS = ("emotion", "voice", "words")
SPLITS = ("test", "validation")


@dataclass(frozen=True)
class EvaluationSettings:
    """What an evaluation measures.

    Attributes:
      data_dir: where `evc prepare` collected datasets.
      datasets: names.
      output: folder for the page, the figures and the sound.
      split: whose speakers are judged; "validation" is for choosing, "test" for reporting.
      sections: of the page.
      strengths: of the emotions, ascending.
      recordings: to convert, of each speaker.
      quick: whether one recording of each speaker, one strength and three emotions are enough.
      options: for all conversions, by name.
      waveglow: work directories of trainings to measure as vocoders.
    """

    data_dir: str
    datasets: str
    output: Path
    split: str = "test"
    sections: tuple[str, ...] = SECTIONS
    strengths: tuple[float, ...] = (0.5, 1.0, 1.5)
    recordings: int = 4
    quick: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    waveglow: tuple[str, ...] = ()

    def __post_init__(self):
        if unknown := [name for name in self.sections if name not in SECTIONS]:
            raise ConfigError(f"There is no section {unknown[0]!r}; choose from {', '.join(SECTIONS)}.")
        if self.split not in SPLITS:
            raise ConfigError(f"The split {self.split!r} is not judged; choose {' or '.join(SPLITS)}.")
        if not self.strengths or not all(0 < strength <= MAX_STRENGTH for strength in self.strengths):
            raise ConfigError(f"The strengths are {self.strengths}; give numbers above 0, up to {MAX_STRENGTH:g}.")
