"""How far each control moves what it controls: pitch, rate, timbre."""

from __future__ import annotations

import numpy as np

from evc_jax.conversion.options import ORIGINAL_VOICE
from evc_jax.data.sampling import spread_evenly
from evc_jax.evaluation.bootstrap import estimate
from evc_jax.evaluation.context import Context
from evc_jax.evaluation.metrics import cosine, f0_summary
from evc_jax.evaluation.report import Section, Table
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
RECORDINGS = 16
MEASURES = ("semitones", "width", "duration", "towards")


def controls_section(context: Context) -> Section:
    """Sets each control on neutral recordings and compares the results with the rebuilt ones."""
    sources = spread_evenly(context.sources, RECORDINGS)
    lines = []
    for setting in SETTINGS:
        ((control, value),) = setting.items()
        name = f"--{control.replace('_', '-')} {value:g}"
        rows = []
        for i, source in enumerate(context.bar(sources, name)):
            other = context.features(sources[(i + len(sources) // 2) % len(sources)]).embedding
            key = f"control|{name}|{len(sources)}|{source['dataset']}|{source['utterance_id']}"

            def measure(source=source, other=other, setting=setting, control=control) -> dict[str, float]:
                voice = other if control == "timbre" else ORIGINAL_VOICE
                rebuilt, changed = (
                    context.converter.extract(context.convert(source, **options), context.config.sample_rate_hz)
                    for options in ({}, {**setting, "voice": voice})
                )
                return compare(rebuilt, changed, other)

            rows.append(context.store.get(key, measure))
        speakers = [source["speaker"] for source in sources]
        lines.append((name, [estimate([row[measure] for row in rows], speakers) for measure in MEASURES]))
    header = ("control", "F0 shift", "times the F0 range", "times the duration", "towards the other voice")
    note = (
        f"Against the rebuilt recording, means of {len(sources)} recordings; shift in semitones, the last column is "
        "the gain of the cosine with another speaker's voice."
    )
    table = Table("Effect of each control", header, ("+.1f", ".2f", ".2f", "+.2f"), lines, note)
    return Section("controls", "Controls", tables=[table])


def compare(before: Features, after: Features, voice: np.ndarray) -> dict[str, float]:
    """What changed between two recordings; `voice` is the embedding that the second may have come closer to."""
    one, two = f0_summary(before.f0_hz), f0_summary(after.f0_hz)
    width = two.range_semitones / one.range_semitones if one.range_semitones else float("nan")
    values = (
        float(12 * np.log2(two.median_hz / one.median_hz)),
        width,
        len(after.audio) / len(before.audio),
        cosine(voice, after.embedding) - cosine(voice, before.embedding),
    )
    return dict(zip(MEASURES, values, strict=True))
