"""Distances between takes that differ in one known way."""

import numpy as np
import pytest
from support.acted_speech import act

from evc_jax.audio.config import AudioConfig
from evc_jax.evaluation.takes import take_distance
from evc_jax.features.extract import analyse

CONFIG = AudioConfig()


@pytest.fixture(scope="module")
def take():
    analysis = analyse(act(0, "neutral", 1), 16000, CONFIG)
    return analysis.mel, analysis.f0_hz


def test_a_take_is_no_distance_from_itself(take):
    found = take_distance(*take, *take, CONFIG)
    assert (found.f0_semitones, found.energy_db, found.length, found.mel_cepstral_db) == (0, 0, 0, 0)


def test_pitch_level_and_length(take):
    mel, f0_hz = take
    assert take_distance(mel, f0_hz, mel, 1.5 * f0_hz, CONFIG).f0_semitones == pytest.approx(
        12 * np.log2(1.5), abs=1e-3
    )
    louder = take_distance(mel, f0_hz, mel + 0.05, f0_hz, CONFIG)  # 5 dB as a whole
    assert louder.energy_db == pytest.approx(0, abs=0.01) and louder.mel_cepstral_db == pytest.approx(0, abs=0.01)
    slow = np.repeat(np.arange(len(mel)), 2)
    slower = take_distance(mel, f0_hz, mel[slow], f0_hz[slow], CONFIG)
    assert slower.length == pytest.approx(np.log(2), abs=0.03) and slower.f0_semitones < 0.3
    tilted = take_distance(mel, f0_hz, mel + np.linspace(-0.1, 0.1, 80, dtype=np.float32), f0_hz, CONFIG)
    assert tilted.mel_cepstral_db > 2


def test_a_whisper_has_no_pitch_to_compare(take):
    mel, f0_hz = take
    assert np.isnan(take_distance(mel, f0_hz, mel, 0 * f0_hz, CONFIG).f0_semitones)
