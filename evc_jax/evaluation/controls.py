"""How far each control moves what it controls: pitch, rate, timbre."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evc_jax.audio.io import from_pcm
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions, options_from
from evc_jax.evaluation.metrics import Record, choose_records, cosine, f0_summary, over_finite
from evc_jax.evaluation.tables import Report
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


def evaluate_controls(converter: Converter, records: Sequence[Record], recordings: int = 16) -> Report:
    """Sets each control on recordings spread over a test split and measures the results.

    Args:
      converter: of the bundle to measure.
      records: with `audio`; the other voice of each recording is that of the one half the chosen ones away.
      recordings: at most so many of them.

    Returns:
      per setting, as medians over the recordings against the rebuilt ones: rise of the median F0 in semitones, ratios
      of the melodies' width and of the lengths, and the gain of the cosine with the other voice.

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
        rows.append((f"--{control.replace('_', '-')} {value:g}", *over_finite(np.median, values)))
    header = ("control", "F0 shift", "times the F0 range", "times the duration", "towards the other voice")
    note = f"Against the rebuilt recording, medians of {len(sources)} recordings; shift in semitones."
    return Report(header, ("", "+.1f", ".2f", ".2f", "+.2f"), rows, note)


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
