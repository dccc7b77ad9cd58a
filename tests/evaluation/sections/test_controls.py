"""What a control changed: exact for features that are known."""

import numpy as np
import pytest

from evc_jax.conversion.options import OPTIONS
from evc_jax.evaluation.sections.controls import SETTINGS, compare
from evc_jax.features.extract import Features


def features(f0_hz, axis=0, samples=9):
    """Features of a recording of which only F0, length and voice are looked at."""
    made = object.__new__(Features)
    fields = {"f0_hz": np.float32(f0_hz), "audio": np.zeros(samples), "embedding": np.eye(4)[axis]}
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def test_shift_width_length_and_voice():
    melody = np.array([100, 100, 200, 200])
    changed = compare(features(melody), features(2 * melody, axis=1, samples=18), np.eye(4)[1])
    assert changed["semitones"] == pytest.approx(12) and changed["width"] == pytest.approx(1)
    assert changed["duration"] == 2 and changed["towards"] == 1


@pytest.mark.filterwarnings("error")
def test_a_flat_or_unvoiced_recording_has_no_range_to_compare():
    flat = compare(features(np.full(9, 100.0)), features(np.full(9, 200.0)), np.ones(4))
    assert (flat["semitones"], flat["duration"]) == (12, 1) and np.isnan(flat["width"])
    silent = compare(features(np.zeros(9)), features(np.full(9, 200.0)), np.ones(4))
    assert np.isnan([silent["semitones"], silent["width"]]).all()


def test_every_control_is_an_option():
    assert {name for setting in SETTINGS for name in setting} <= {option.name for option in OPTIONS}
