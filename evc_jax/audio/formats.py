"""The formats that sound is written in, known by a file's suffix. Imports nothing slow."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evc_jax.errors import AudioError

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 8000, 192_000


@dataclass(frozen=True)
class OutputFormat:
    """A container with one coding.

    Attributes:
      container, subtype: libsndfile's names.
      compression: from 0, the best quality, to 1, the smallest file; None where nothing is lost.
      rates_hz: the sample rates that the coding knows; empty for any.
    """

    container: str
    subtype: str = "PCM_16"
    compression: float | None = None
    rates_hz: tuple[int, ...] = ()

    def check_rate(self, rate_hz: int) -> None:
        """Raises AudioError for a sample rate that the coding does not know."""
        if self.rates_hz and rate_hz not in self.rates_hz:
            known = ", ".join(map(str, self.rates_hz))
            raise AudioError(f"{self.subtype} has no sample rate of {rate_hz} Hz; give {known} or another format.")


# The compressions make about 60 kbit/s of speech at 16 kHz, and twice that at 48 kHz.
OUTPUT_FORMATS = {
    ".wav": OutputFormat("WAV"),
    ".flac": OutputFormat("FLAC"),
    ".mp3": OutputFormat("MP3", "MPEG_LAYER_III", 0.2, (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)),
    ".ogg": OutputFormat("OGG", "VORBIS", 0.2),
    ".opus": OutputFormat("OGG", "OPUS", 0.75, (8000, 12000, 16000, 24000, 48000)),
}
OUTPUT_SUFFIXES = tuple(OUTPUT_FORMATS)
SUFFIX_WORDS = f"{', '.join(OUTPUT_SUFFIXES[:-1])} or {OUTPUT_SUFFIXES[-1]}"


def check_output(path: str | os.PathLike, rate_hz: int | None = None) -> Path:
    """The path; raises AudioError unless its suffix names a format that is written, and knows the rate if given."""
    given: Any = path
    if not isinstance(given, str | os.PathLike):
        raise AudioError(f"the output is {given!r:.40}; give the name of a file.")
    path = Path(path)
    if path.suffix.lower() not in OUTPUT_FORMATS:
        raise AudioError(f"{path} cannot be written; name it {SUFFIX_WORDS}.")
    if rate_hz is not None:
        OUTPUT_FORMATS[path.suffix.lower()].check_rate(rate_hz)
    return path
