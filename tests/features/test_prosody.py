"""Prosody of sounds whose melody, loudness and spectrum are known."""

import numpy as np
import pytest
from support.vowels import sung_vowel

from evc_jax.audio.config import AudioConfig
from evc_jax.features import extract as extraction
from evc_jax.features import prosody

CONFIG = AudioConfig()


def measured(audio):
    features = extraction.extract(audio, 16000, CONFIG)
    return prosody.measure(features.mel, features.f0_hz, features.level_gain, CONFIG)


@pytest.fixture(scope="module")
def vowel():
    return np.pad(sung_vowel(160.0), 4000)


def test_semitones_and_pauses(vowel):
    found = measured(vowel)
    reference = prosody.reference_of(found)
    assert reference.semitones == pytest.approx(12 * np.log2(160), abs=0.1)
    assert found.voiced.any() and not found.active[0] and found.active[len(found.active) // 2]
    higher = prosody.reference_of(measured(np.pad(sung_vowel(320.0), 4000)))
    assert higher.semitones - reference.semitones == pytest.approx(12, abs=0.1)


def test_a_louder_recording_differs_in_the_first_cepstrum_only(vowel):
    soft, loud = measured(0.1 * vowel), measured(vowel)
    change = (loud.cepstra_db - soft.cepstra_db)[soft.active]
    np.testing.assert_allclose(change[:, 0], 20, atol=0.5)
    np.testing.assert_allclose(change[:, 1:], 0, atol=0.5)
    # The network reads each relative to itself.
    tracks = [prosody.network_inputs(found, prosody.reference_of(found))[0] for found in (soft, loud)]
    np.testing.assert_allclose(*(track[soft.active] for track in tracks), atol=0.1)


def test_the_filter_of_a_change_of_cepstra_makes_that_change():
    mel = np.random.default_rng(0).random((50, 80)).astype(np.float32)
    change = np.random.default_rng(1).normal(size=(50, prosody.CEPSTRA)).astype(np.float32)
    f0_hz = np.zeros(50, np.float32)
    filtered = mel + prosody.filter_of(change, 80) / CONFIG.range_db
    before, after = (prosody.measure(each, f0_hz, 1.0, CONFIG) for each in (mel, filtered))
    np.testing.assert_allclose(after.cepstra_db - before.cepstra_db, change, atol=1e-3)


def test_without_voice_or_sound_everything_is_finite():
    for mel in (np.zeros((5, 80), np.float32), np.random.default_rng(0).random((5, 80)).astype(np.float32)):
        found = prosody.measure(mel, np.zeros(5, np.float32), 1.0, CONFIG)
        inputs = prosody.network_inputs(found, prosody.reference_of(found))
        assert all(np.isfinite(array).all() for array in inputs)
