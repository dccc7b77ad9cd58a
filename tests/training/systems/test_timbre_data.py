"""Excerpts for the timbre converter: rendered once at several registers, drawn with another speaker's voice."""

import dataclasses
import os

import numpy as np
import pytest
from etils import epath
from support.buzzers import embed
from support.vowels import sung_vowel

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import to_pcm
from evc_jax.errors import DataError
from evc_jax.features import speaker
from evc_jax.features.extract import extract
from evc_jax.training.systems import timbre_data
from evc_jax.training.systems.timbre_data import Sampling, draw_sample, load_excerpts

CONFIG = AudioConfig()
SAMPLING = Sampling(window_frames=40, shifts_semitones=(-6, 0, 6), register_error_semitones=0.0, mixed_share=0.0)
FRAMES, PER_SPEAKER = 50, 2
SPEAKERS = {"low": 120.0, "high": 240.0}


def _record(speaker_name, vowel):
    f0_hz = SPEAKERS[speaker_name]
    features = extract(sung_vowel(f0_hz, vowel), 16000, CONFIG, embedder=embed)
    return {
        "audio": to_pcm(features.audio),
        "mel": features.mel,
        "f0_hz": features.f0_hz,
        "utterance_embedding": features.embedding,
        "speaker": speaker_name,
        "log_f0_mean": np.log(f0_hz),
    }


@pytest.fixture(scope="module")
def records():
    """Two speakers with three utterances each."""
    return [_record(name, vowel) for name in SPEAKERS for vowel in "aio"]


def _load(records, folder, config=CONFIG, **origin):
    cache = epath.Path(folder) / "excerpts" / "train.npz"
    return load_excerpts(records, config, SAMPLING, FRAMES, PER_SPEAKER, cache, origin)


@pytest.fixture(scope="module")
def excerpts(records, tmp_path_factory):
    return _load(records, tmp_path_factory.mktemp("excerpts"))


def test_no_speaker_has_more_excerpts_than_asked_for(excerpts):
    assert np.bincount(excerpts.speaker).tolist() == [PER_SPEAKER, PER_SPEAKER]
    assert excerpts.record.tolist() == [0, 2, 3, 5]


def test_renderings_have_the_level_and_envelope_of_the_excerpt_at_another_register(excerpts):
    power = 10.0 ** excerpts.log_power.astype(np.float64)
    down, same, up = power.mean(axis=2)[0]
    for moved in (down, up):
        np.testing.assert_allclose(moved.sum(), same.sum(), rtol=0.5)
    # The first band that has a harmonic lies half an octave higher.
    assert np.argmax(up) >= np.argmax(down) and not np.allclose(up, down, rtol=0.1)


def test_a_speaker_without_a_usable_utterance_is_none(records, excerpts, tmp_path):
    silent = {**records[0], "speaker": "a silent one", "f0_hz": np.zeros_like(records[0]["f0_hz"])}
    loaded = _load([silent, *records], tmp_path)
    np.testing.assert_array_equal(loaded.speaker, excerpts.speaker)
    np.testing.assert_array_equal(loaded.record, excerpts.record + 1)


def test_many_utterances_are_rendered_by_several_processes(monkeypatch):
    monkeypatch.setattr(timbre_data, "_UTTERANCES_PER_PROCESS", 2)
    monkeypatch.setattr(timbre_data.os, "cpu_count", lambda: 2)
    of_processes = list(timbre_data._in_processes(_with_process, range(10, 20), range(9)))
    assert [number for number, _ in of_processes] == list(range(10, 19))
    assert os.getpid() not in {process for _, process in of_processes}


def test_a_process_that_dies_is_one_sentence(monkeypatch):
    monkeypatch.setattr(timbre_data, "_UTTERANCES_PER_PROCESS", 2)
    monkeypatch.setattr(timbre_data.os, "cpu_count", lambda: 2)
    with pytest.raises(DataError, match="One of 2 processes that render excerpts died"):
        list(timbre_data._in_processes(os._exit, range(4), range(4)))


def _with_process(number):
    return number, os.getpid()


def test_excerpts_are_read_where_nothing_has_changed(records, tmp_path, monkeypatch):
    first = _load(records, tmp_path, data="a")
    monkeypatch.setattr(timbre_data, "render_excerpt", lambda *_, **__: pytest.fail("rendered again"))
    again = _load(records, tmp_path, data="a")
    for name, values in vars(first).items():
        np.testing.assert_array_equal(getattr(again, name), values)
    with pytest.raises(pytest.fail.Exception, match="rendered again"):
        _load(records, tmp_path, data="b")


def test_a_sample_is_at_the_register_of_its_target(excerpts):
    generator = np.random.default_rng(0)
    for number in range(len(excerpts)):
        sample = draw_sample(number, generator, excerpts, SAMPLING, CONFIG)
        # An octave between the two: the furthest rendering is nearest.
        towards = 1 if excerpts.log_f0[number] < np.log(170) else -1
        np.testing.assert_allclose(sample["register_shift"], towards * 6 / timbre_data.SEMITONES_PER_NEPER, rtol=1e-6)
        others = excerpts.embedding[excerpts.speaker != excerpts.speaker[number]]
        assert np.max(others @ sample["target"]) > 0.999
        assert sample["log_power"].shape == (40, speaker.MEL_BANDS)
        assert len(sample["mel"]) == len(sample["voiced"]) == SAMPLING.mel_frames(CONFIG) == 26


def test_a_sample_s_spectra_are_of_the_same_moment(records, excerpts):
    """The encoder's loudness follows that of the mel frames at the same times."""
    sampling = dataclasses.replace(SAMPLING, shifts_semitones=(0,))
    quiet = {name: value.copy() for name, value in vars(excerpts).items()}
    quiet["mel"][:, 20:] = 0
    quiet["log_power"][:, :, 32:] = -10
    starts = set()
    for seed in range(20):
        broken = timbre_data.Excerpts(**quiet)
        sample = draw_sample(0, np.random.default_rng(seed), broken, sampling, CONFIG)
        silent_s = np.argmax(sample["mel"].max(axis=1) == 0) * CONFIG.hop_samples
        assert silent_s == np.argmax(sample["log_power"].max(axis=1) == -10) * speaker.MEL_HOP_SAMPLES
        starts.add(int(silent_s))
    assert len(starts) > 2


def test_one_speaker_is_too_few(records, tmp_path):
    with pytest.raises(DataError, match="fewer than two speakers"):
        _load(records[:3], tmp_path)


def test_another_sample_rate_is_refused(records, tmp_path):
    with pytest.raises(DataError, match="has 22050 Hz; the timbre converter needs 16000"):
        _load(records, tmp_path, dataclasses.replace(CONFIG, sample_rate_hz=22050))
