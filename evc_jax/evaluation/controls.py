"""How far each control moves what it controls: pitch, rate, timbre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evc_jax.audio.io import from_pcm
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions, options_from
from evc_jax.evaluation.metrics import Record, choose_records, cosine, f0_summary, over_finite
from evc_jax.evaluation.tables import cell, markdown_table
from evc_jax.features.extract import Features

# One control and its value at a time.
SETTINGS: tuple[dict[str, float], ...] = (
    {"pitch_shift": -4},
    {"pitch_shift": 4},
    {"pitch_shift": 8},
    {"pitch_range": 0},
    {"pitch_range": 0.5},
    {"pitch_range": 1.5},
    {"pitch_range": 2},
    {"flatten_pitch": 1},
    {"rate": 0.8},
    {"rate": 1.25},
    {"timbre": 0.5},
    {"timbre": 1},
)


@dataclass(frozen=True)
class ControlRow:
    """One setting against the rebuilt recording, medians over recordings.

    Attributes:
      control, value: the option and its value.
      shift_semitones: rise of the median F0.
      range_ratio: width of the melody divided by the rebuilt one's.
      duration_ratio: length divided by the rebuilt one's.
      voice_cosine: cosine with the other voice, minus the rebuilt recording's.
    """

    control: str
    value: float
    shift_semitones: float
    range_ratio: float
    duration_ratio: float
    voice_cosine: float


@dataclass(frozen=True)
class ControlReport:
    """Results of `evaluate_controls` and the number of recordings."""

    rows: tuple[ControlRow, ...]
    recordings: int

    def __str__(self) -> str:
        header = ("control", "F0 shift", "F0 range", "duration", "towards the other voice")
        rows = [
            (
                f"--{row.control.replace('_', '-')} {row.value:g}",
                cell(row.shift_semitones, "+.1f"),
                f"x {cell(row.range_ratio, '.2f')}",
                f"x {cell(row.duration_ratio, '.2f')}",
                cell(row.voice_cosine, "+.2f"),
            )
            for row in self.rows
        ]
        note = f"Against the rebuilt recording, medians of {self.recordings} recordings; shift in semitones."
        return f"{markdown_table(header, rows)}\n\n{note}"


def evaluate_controls(converter: Converter, records: Sequence[Record], recordings: int = 16) -> ControlReport:
    """Sets each control on recordings spread over a test split and measures the results.

    Args:
      converter: of the bundle to measure.
      records: with `audio`; the other voice of each recording is that of the one half the chosen ones away.
      recordings: at most so many of them.

    Raises:
      DataError: there are no records.
    """
    rate_hz = converter.sample_rate_hz
    sources = [converter.extract(from_pcm(r["audio"]), rate_hz) for r in choose_records(records, recordings)]
    voices = [sources[(i + len(sources) // 2) % len(sources)].embedding for i in range(len(sources))]
    rebuilt = [_convert(converter, source, ConversionOptions()) for source in sources]
    rows = []
    for setting in SETTINGS:
        ((control, value),) = setting.items()
        values = []
        for source, before, voice in zip(sources, rebuilt, voices, strict=True):
            options = options_from({**setting, **({"voice": voice} if control == "timbre" else {})})
            values.append(_compare(before, _convert(converter, source, options), voice))
        rows.append(ControlRow(control, value, *over_finite(np.median, values)))
    return ControlReport(tuple(rows), len(sources))


def _convert(converter: Converter, source: Features, options: ConversionOptions) -> Features:
    return converter.extract(converter.convert_features(source, options).audio, converter.sample_rate_hz)


def _compare(before: Features, after: Features, voice: np.ndarray) -> Sequence[float]:
    one, two = f0_summary(before.f0_hz), f0_summary(after.f0_hz)
    return (
        12 * np.log2(two.median_hz / one.median_hz),
        two.range_semitones / one.range_semitones if one.range_semitones else float("nan"),
        len(after.audio) / len(before.audio),
        cosine(voice, after.embedding) - cosine(voice, before.embedding),
    )
