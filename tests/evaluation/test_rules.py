"""The rules find what the invented actors do, and do it."""

import numpy as np
import pytest
from support.acted_speech import acted_speech

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import from_pcm
from evc_jax.evaluation.metrics import f0_summary
from evc_jax.evaluation.rules import Rule, apply_rule, learn_rules, load_rules, save_rules, world_copy
from evc_jax.features.pitch import estimate_f0


@pytest.fixture(scope="module")
def speech():
    return acted_speech()


def test_rules_are_what_the_actors_do(speech):
    rules = learn_rules(speech.training, speech.config)
    assert set(rules) == {("acted", emotion) for emotion in ("happy", "sad", "angry")}
    happy, sad, angry = (rules["acted", emotion] for emotion in ("happy", "sad", "angry"))
    assert [happy.semitones, sad.semitones, angry.semitones] == pytest.approx([7, -4, 6], abs=0.5)
    assert [happy.width, sad.width] == pytest.approx([1.6, 0.6], rel=0.15)
    assert [happy.length, sad.length] == pytest.approx([1, 1.27], rel=0.06)
    assert angry.spectrum_db[60] - angry.spectrum_db[20] > 3 > sad.spectrum_db[60] - sad.spectrum_db[20]


def test_a_rule_moves_pitch_length_and_spectrum(speech):
    source, config = speech.sources(1)[0], speech.config
    rule = Rule(np.log(2) / 3, 1.5, 1.25, np.linspace(-6, 6, config.mel_bands))
    changed = apply_rule(source, rule, config)
    before, after = (f0_summary(estimate_f0(x, config)) for x in (from_pcm(source["audio"]), changed))
    assert 12 * np.log2(after.median_hz / before.median_hz) == pytest.approx(4, abs=0.7)
    assert after.range_semitones / before.range_semitones == pytest.approx(1.5, rel=0.15)
    assert len(changed) / len(source["audio"]) == pytest.approx(1.25, abs=0.03)
    spectra = [np.abs(np.fft.rfft(x, 2**16))[1000:] for x in (world_copy(source, config), changed)]
    slopes = [np.log(s[8000:16000].mean() / s[1000:3000].mean()) for s in spectra]
    assert slopes[1] > slopes[0] + 0.3


def test_strength_zero_is_the_copy(speech):
    source = speech.sources(1)[0]
    rule = Rule(0.5, 2.0, 1.3, np.full(speech.config.mel_bands, 5.0)).at(0)
    assert np.allclose(apply_rule(source, rule, speech.config), world_copy(source, speech.config), atol=1e-4)


def test_saved_rules_change_a_recording_as_before(speech, tmp_path):
    rules = learn_rules(speech.training, speech.config)
    save_rules(rules, tmp_path / "rules.json")
    stored = load_rules(tmp_path / "rules.json")
    assert list(stored) == list(rules)
    source = speech.sources(1)[0]
    before, after = (apply_rule(source, each["acted", "sad"].at(0.5), speech.config) for each in (rules, stored))
    frames = speech.config.hop_samples * 20
    assert abs(len(before) - len(after)) <= speech.config.hop_samples
    assert np.abs(before[:frames] - after[:frames]).max() < 0.05 * np.abs(before).max()
    # Rounded once, they stay as they are.
    save_rules(stored, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "rules.json").read_text()


def test_the_embedded_rules_are_of_every_emotion_of_the_corpora():
    rules = load_rules()
    assert {"happy", "sad", "angry"} < {emotion for dataset, emotion in rules if dataset == "ravdess"}
    assert all(rule.spectrum_db.shape == (AudioConfig().mel_bands,) for rule in rules.values())
    assert rules["ravdess", "angry"].semitones > 2 and rules["ravdess", "sad"].length > 1
