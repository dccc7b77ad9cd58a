"""The report on controls: durations are exact, the rest is measured."""

import numpy as np
import pytest
from support.tiny_bundles import tiny_converter, tone

from evc_jax.errors import DataError
from evc_jax.evaluation import controls
from evc_jax.evaluation.controls import evaluate_controls
from evc_jax.features.extract import Features


def test_controls_are_measured_against_the_rebuilt_recording(monkeypatch):
    monkeypatch.setattr(controls, "SETTINGS", ({"rate": 1.25}, {"pitch_shift": 4}))
    records = [{"audio": (tone(0.5, f0_hz=f0_hz) * 20_000).astype(np.int16)} for f0_hz in (140.0, 200.0)]
    report = evaluate_controls(tiny_converter(), records, recordings=3)
    assert "medians of 2 recordings" in str(report)  # each once, although more are allowed
    rows = {name: values for name, *values in report.rows}
    assert list(rows) == ["--rate 1.25", "--pitch-shift 4"]
    assert rows["--rate 1.25"][2] == pytest.approx(0.8, abs=1e-3)
    assert rows["--pitch-shift 4"][2] == 1
    assert "| --pitch-shift 4 | " in str(report)


@pytest.mark.filterwarnings("error")
def test_a_flat_or_unvoiced_recording_has_no_range_to_compare():
    def fake(f0_hz):
        made = object.__new__(Features)
        fields = {"f0_hz": np.full(9, f0_hz, np.float32), "audio": np.zeros(9), "embedding": np.ones(4)}
        for name, value in fields.items():
            object.__setattr__(made, name, value)
        return made

    shift, width, duration, _ = controls._compare(fake(100.0), fake(200.0), np.ones(4))
    assert (shift, duration) == (12, 1) and np.isnan(width)
    assert np.isnan(controls._compare(fake(0.0), fake(200.0), np.ones(4))[:2]).all()


def test_no_recordings():
    with pytest.raises(DataError, match="There are no recordings to measure; give a dataset with a test split"):
        evaluate_controls(tiny_converter(), [])
