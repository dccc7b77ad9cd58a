"""Measures of independence: exact on synthetic recordings, and none moves with another's change."""

import numpy as np
import pytest
from support.vowels import sung_vowel

from evc_jax.audio.config import AudioConfig
from evc_jax.evaluation.bootstrap import Estimate
from evc_jax.evaluation.independence import MEASURES, Measured, compare, envelope_tilt_db, largest_unwanted
from evc_jax.features.pitch import estimate_f0

CONFIG = AudioConfig()
MELODY = np.float32([0, *np.geomspace(100, 200, 20), 0])


def measured(f0_hz=MELODY, samples=9, level_dbfs=-30.0, tilt_db=-6.0, axis=0, certainty=0.2):
    tilts = np.where(f0_hz > 0, tilt_db, np.nan)
    return Measured(samples, level_dbfs, f0_hz, tilts, np.eye(4)[axis], certainty)


def test_every_measure_is_its_own():
    mean = np.exp(np.log(MELODY[1:-1]).mean())
    wide = np.where(MELODY > 0, mean * (np.maximum(MELODY, 1) / mean) ** 1.5, 0)
    for key, after, expected in (
        ("f0", measured(2 * MELODY), 12),
        ("range", measured(wide), np.log(1.5)),
        ("duration", measured(np.repeat(MELODY, 2), samples=18), np.log(2)),
        ("level", measured(level_dbfs=-24.0), 6),
        ("tilt", measured(tilt_db=-4.0), 2),
        ("voice", measured(axis=1), 1),
        ("emotion", measured(certainty=0.7), 0.5),
    ):
        changes = compare(measured(), after, np.eye(4)[1])
        assert changes.pop(key) == pytest.approx(expected), key
        np.testing.assert_allclose(list(changes.values()), 0, atol=0.01, err_msg=key)


@pytest.mark.filterwarnings("error")
def test_frames_that_are_voiced_in_one_recording_do_not_count():
    creak = MELODY.copy()
    creak[0] = creak[-1] = 40
    changes = compare(measured(), measured(creak), np.eye(4)[1])
    assert changes["f0"] == changes["range"] == 0
    silent = compare(measured(), measured(0 * MELODY), np.eye(4)[1])
    assert np.isnan([silent["f0"], silent["range"], silent["tilt"]]).all() and silent["level"] == 0


def test_the_tilt_is_that_of_the_envelope():
    def tilt(f0_hz, vowel="a", slope_db=0.0):
        sound = sung_vowel(f0_hz, vowel)
        spectrum, hz = np.fft.rfft(sound), np.fft.rfftfreq(len(sound), 1 / CONFIG.sample_rate_hz)
        sound = np.fft.irfft(spectrum * 10 ** (slope_db * np.log2(np.maximum(hz, 50) / 1000) / 20), len(sound))
        return np.nanmean(envelope_tilt_db(sound, estimate_f0(sound, CONFIG), CONFIG))

    assert tilt(150.0, slope_db=3.0) - tilt(150.0) == pytest.approx(3, abs=0.1)
    assert tilt(190.0) - tilt(150.0) == pytest.approx(0, abs=0.4)  # 4 semitones
    assert np.isnan(envelope_tilt_db(np.zeros(4096, np.float32), np.zeros(17, np.float32), CONFIG)).all()


def test_the_largest_change_that_is_not_meant():
    def cells(**values):
        return [Estimate(values.get(key, 0.0), 0, 0, 1, 1) for key in MEASURES]

    rows = {
        "rate": ("duration", cells(duration=1.0, level=-0.2, f0=float("nan"))),
        "loudness": ("level", cells(level=1.0, tilt=0.1)),
        "emotion": ("emotion", cells(emotion=1.0, f0=2.0)),
    }
    assert largest_unwanted(rows, ["rate", "loudness"], MEASURES) == ("rate", "level", -0.2)
    assert largest_unwanted(rows, ["rate", "loudness"], ["tilt"]) == ("loudness", "tilt", 0.1)
    assert largest_unwanted(rows, [], MEASURES) is None
