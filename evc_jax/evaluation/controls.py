"""Whether each dial moves what it says, and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evc_jax.audio.io import from_pcm
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.evaluation.metrics import cosine, f0_summary
from evc_jax.features.extract import Features

# What is turned, and how far.
SETTINGS: tuple[dict[str, float], ...] = (
    {"pitch_shift": -4},
    {"pitch_shift": 4},
    {"pitch_shift": 8},
    {"pitch_range": 0},
    {"pitch_range": 0.5},
    {"pitch_range": 1.5},
    {"pitch_range": 2},
    {"flatten": 1},
    {"rate": 0.8},
    {"rate": 1.25},
    {"timbre": 0.5},
    {"timbre": 1},
)


@dataclass(frozen=True)
class DialRow:
    """One setting against the rebuilt recording, medians over recordings.

    Attributes:
      dial, value: what was turned, and where to.
      shift_semitones: by how much the median F0 rose.
      range_ratio: width of the melody divided by the rebuilt one's.
      duration_ratio: length divided by the rebuilt one's.
      voice_cosine: with the other voice, minus the rebuilt recording's cosine with it.
    """

    dial: str
    value: float
    shift_semitones: float
    range_ratio: float
    duration_ratio: float
    voice_cosine: float


@dataclass(frozen=True)
class DialReport:
    """What `evaluate_dials` measured, over so many recordings."""

    rows: tuple[DialRow, ...]
    recordings: int

    def __str__(self) -> str:
        lines = [
            "| dial | F0 shift | F0 range | duration | towards the other voice |",
            "|---|---|---|---|---|",
        ]
        for row in self.rows:
            name = "--" + row.dial.replace("_", "-")
            lines.append(
                f"| {name} {row.value:g} | {row.shift_semitones:+.1f} | x {row.range_ratio:.2f} | "
                f"x {row.duration_ratio:.2f} | {row.voice_cosine:+.2f} |"
            )
        lines += ["", f"Against the rebuilt recording, medians of {self.recordings} recordings; shift in semitones."]
        return "\n".join(lines)


def evaluate_dials(converter: Converter, records: Iterable[Mapping[str, Any]], recordings: int = 16) -> DialReport:
    """Turns each dial on recordings spread over a test split and measures the results.

    Args:
      converter: of the bundle to measure.
      records: with `audio`; the other voice of each recording is that of the one half the split away.
      recordings: how many of them.
    """
    chosen = list(records)
    chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, recordings).astype(int)]
    rate_hz = converter.sample_rate_hz
    heard = [converter.extract(from_pcm(record["audio"]), rate_hz) for record in chosen]
    voices = [heard[(i + len(heard) // 2) % len(heard)].embedding for i in range(len(heard))]
    rebuilt = [_spoken(converter, features, ConversionOptions()) for features in heard]
    rows = []
    for setting in SETTINGS:
        ((dial, value),) = setting.items()
        values = []
        for features, before, voice in zip(heard, rebuilt, voices, strict=True):
            options = ConversionOptions(**setting, **({"voice": voice} if dial == "timbre" else {}))
            values.append(_compare(before, _spoken(converter, features, options), voice))
        rows.append(DialRow(dial, value, *map(float, np.nanmedian(values, axis=0))))
    return DialReport(tuple(rows), len(heard))


def _spoken(converter: Converter, features: Features, options: ConversionOptions) -> Features:
    return converter.extract(converter.convert_features(features, options).audio, converter.sample_rate_hz)


def _compare(before: Features, after: Features, voice: np.ndarray) -> Sequence[float]:
    one, two = f0_summary(before.f0_hz), f0_summary(after.f0_hz)
    return (
        12 * np.log2(two.median_hz / one.median_hz),
        two.range_semitones / one.range_semitones,
        len(after.audio) / len(before.audio),
        cosine(voice, after.embedding) - cosine(voice, before.embedding),
    )
