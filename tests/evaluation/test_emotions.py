"""The report on emotions: what it says of the real recordings is exact, what it says of conversions is measured."""

import numpy as np
import pytest
from support.tiny_bundles import EMOTIONS, tone

from evc_jax.conversion.converter import Converter
from evc_jax.evaluation.emotions import evaluate_emotions


def _record(speaker, emotion, f0_hz, axis):
    embedding = np.zeros(256, np.float32)
    embedding[axis] = 1
    return {
        "audio": (tone(1.0) * 20_000).astype(np.int16),
        "f0_hz": np.full(60, f0_hz, np.float32),
        "speaker": speaker,
        "emotion": emotion,
        "speaker_embedding": embedding,
    }


def test_shifts_of_real_recordings_are_those_of_their_pitch(tiny_bundle):
    other = next(name for name in EMOTIONS if name != "neutral")
    records = [
        _record("a", "neutral", 100, 0),
        _record("a", other, 200, 0),
        _record("b", "neutral", 200, 1),
        _record("b", other, 200, 1),
    ]
    report = evaluate_emotions(Converter.load(tiny_bundle), records)
    rows = {row.emotion: row for row in report.rows}
    assert report.recordings == 2
    assert rows[other].real_shift == pytest.approx(6.0)  # an octave and nothing, averaged
    assert rows["neutral"].real_shift == 0 and rows[other].real_range == 0
    assert report.stranger_similarity == 0
    assert f"| {other} | +6.0 |" in str(report)
