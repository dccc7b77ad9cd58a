"""The report on emotions: real recordings' shifts are exact, conversions' are measured; missing data is named."""

import re

import numpy as np
import pytest
from support.tiny_bundles import EMOTIONS, tone

from evc_jax.conversion.converter import Converter
from evc_jax.errors import BundleError, DataError
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
    rows = {name: values for name, *values in report.rows}
    assert rows[other][0] == pytest.approx(6.0)  # an octave and nothing, averaged
    assert rows["neutral"][0] == 0 and rows[other][2] == 0
    assert report.note.startswith("2 neutral recordings") and "0.00 between strangers" in report.note
    assert re.search(rf"^\| {other} +\| +\+6\.0 \|", str(report), re.MULTILINE)
    missing = [name for name in EMOTIONS if name not in ("neutral", other)]
    assert str(report).endswith(f"beside neutral: {', '.join(missing)}.")


@pytest.mark.filterwarnings("error")
def test_neutral_recordings_without_a_voiced_frame_leave_nothing_to_compare(tiny_bundle):
    report = evaluate_emotions(Converter.load(tiny_bundle), [_record("a", "neutral", 0, 0)])
    assert not report.rows and report.note.endswith(f"beside neutral: {', '.join(EMOTIONS)}.")
    assert "correlation of real and converted shifts -;" in str(report) and "- between strangers" in str(report)


@pytest.mark.parametrize("records", [[], [_record("a", "happy", 100, 0)]])
def test_no_neutral_recording(records, tiny_bundle):
    with pytest.raises(DataError, match="No recording is neutral, which conversions start from; give datasets"):
        evaluate_emotions(Converter.load(tiny_bundle), records)


def test_a_bundle_without_emotions(tiny_bundle, monkeypatch):
    monkeypatch.setattr(Converter, "emotions", ())
    with pytest.raises(BundleError, match="The bundle converts no emotions; give one with CodeGAN"):
        evaluate_emotions(Converter.load(tiny_bundle), [])
