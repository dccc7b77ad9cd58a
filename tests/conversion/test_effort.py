"""Loudness and vocal effort: exact in level, in both renderings and across the segments of a long recording."""

import numpy as np
import pytest
from support.tiny_bundles import tiny_converter
from support.vowels import sung_vowel

from evc_jax.audio import pauses
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import AudioReader
from evc_jax.audio.loudness import active_level_dbfs
from evc_jax.audio.mel import highpass
from evc_jax.conversion import changes, controls, long_recordings, recording_stats
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.rendering import Change
from evc_jax.conversion.source import Request, WholeRecording
from evc_jax.features.f0_codes import LogF0Statistics

RATE_HZ = 16000
CONFIG = AudioConfig()
RENDERINGS = ("source", "decoder")


@pytest.fixture(scope="module")
def converter():
    return tiny_converter()


def speech(repeats=1):
    """Vowels with pauses in which there is faint noise."""
    quiet = 2e-4 * np.random.default_rng(0).standard_normal(8000)
    parts = [np.concatenate([quiet, sung_vowel(f0_hz, seconds=0.7)]) for f0_hz in (120.0, 150.0)]
    return np.concatenate([*parts * repeats, quiet]).astype(np.float32)


@pytest.fixture(scope="module")
def features(converter):
    return converter.extract(speech(), RATE_HZ)


def level_dbfs(sound):
    return active_level_dbfs(highpass(sound, CONFIG), CONFIG)


def high_ratio_db(sound):
    """Power above 2 kHz beside that below 1 kHz."""
    power = np.square(np.abs(np.fft.rfft(sound)))
    middle = 1000 * len(sound) // RATE_HZ
    return 10 * np.log10(power[2 * middle :].sum() / power[:middle].sum())


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_loudness_is_exact_in_decibels(converter, features, rendering):
    plain = converter.convert_features(features, ConversionOptions(rendering=rendering))
    for loudness in (-24, 6.5):
        louder = converter.convert_features(features, ConversionOptions(rendering=rendering, loudness=loudness))
        np.testing.assert_allclose(louder.audio, plain.audio * 10 ** (loudness / 20), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_effort_tilts_the_spectrum_and_keeps_the_level(converter, features, rendering, monkeypatch):
    monkeypatch.setattr(converter.engine, "convert", lambda windows: windows.mel)
    sounds = [
        converter.convert_features(features, ConversionOptions(rendering=rendering, effort=effort)).audio
        for effort in (-1, -0.5, 0, 0.5, 1)
    ]
    levels, tilts = [level_dbfs(sound) for sound in sounds], [high_ratio_db(sound) for sound in sounds]
    np.testing.assert_allclose(levels, levels[2], atol=0.5)
    assert (np.diff(tilts) > 1.5).all()


@pytest.mark.parametrize("options", [{}, {"emotion": "sad"}, {"voice": "sampled:male"}, {"pitch_shift": 3}], ids=str)
def test_effort_keeps_the_level_of_what_else_is_asked(converter, features, options):
    plain, shouted = (
        converter.convert_features(features, ConversionOptions(rendering="source", effort=effort, **options)).audio
        for effort in (0, 1)
    )
    assert level_dbfs(shouted) == pytest.approx(level_dbfs(plain), abs=0.5)
    assert high_ratio_db(shouted) > high_ratio_db(plain) + 3


def test_effort_leaves_the_noise_in_pauses(converter, features):
    shouted = converter.convert_features(features, ConversionOptions(rendering="source", effort=1)).audio
    pause = slice(1500, 6000)
    np.testing.assert_array_equal(shouted[pause], (features.audio / np.float32(features.level_gain))[pause])


def test_a_filter_of_effort_rises_with_the_logarithm_of_frequency():
    centres_hz = controls._centres_hz(CONFIG)
    power = np.random.default_rng(0).uniform(0.1, 1, len(centres_hz))
    filter_db = controls.effort_filter_db(0.5, power, CONFIG)
    assert (power * 10 ** (filter_db / 10)).sum() == pytest.approx(power.sum())
    inside = (centres_hz > 300) & (centres_hz < 5000)
    slopes = np.diff(filter_db[inside]) / np.diff(np.log2(centres_hz[inside]))
    np.testing.assert_allclose(slopes, 0.5 * controls.EFFORT_DB_PER_OCTAVE)
    assert np.ptp(filter_db[centres_hz < 300]) == np.ptp(filter_db[centres_hz > 5000]) == 0


def test_segments_of_a_long_recording_share_the_effort(converter, monkeypatch):
    """The second half is 20 dB softer, and has a spectrum of its own: the same filter, not a level of its own."""
    for module, name, value in (
        (long_recordings, "WHOLE_S", 4.0),
        (recording_stats, "EXCERPT_PIECE_S", 0.5),
        (pauses, "SEGMENT_S", (1.0, 2.5)),
    ):
        monkeypatch.setattr(module, name, value)
    sound = speech(4)
    middle = len(sound) // 2
    sound[middle:] *= 0.1
    filters = []
    change_db = controls.effort_change_db

    def noted(features, reference, filter_db, *rest):
        filters.append(filter_db)
        return change_db(features, reference, filter_db, *rest)

    monkeypatch.setattr(controls, "effort_change_db", noted)
    options = ConversionOptions(rendering="source", effort=1, loudness=3)
    parts = list(long_recordings.convert_segments(converter, AudioReader(sound, RATE_HZ), options))
    assert len(parts) >= 3 and all(each is filters[-1] for each in filters[-len(parts) :])
    made = np.concatenate([part.audio for part in parts])
    assert len(made) == len(sound)
    assert level_dbfs(made) - level_dbfs(sound) == pytest.approx(3, abs=0.5)
    assert level_dbfs(made[middle:]) - level_dbfs(sound[middle:]) == pytest.approx(3, abs=0.5)


def test_the_range_widens_what_an_emotion_adds_to_the_melody(features):
    """About the mean of the emotional melody, which stays; the shift moves it."""
    frames = len(features.mel)
    voiced = features.f0_hz > 0
    statistics = LogF0Statistics(float(np.log(features.f0_hz[voiced]).mean()), 0.2)
    emotion = 0.3 + 0.1 * np.sin(np.arange(frames) / 9)
    emotional = Change.neutral(frames, CONFIG).with_log_f0(emotion)

    def log_f0(**options):
        change = changes.melody(features, emotional, statistics, ConversionOptions(**options))
        return np.log(features.f0_hz[voiced]) + change.log_f0[voiced]

    plain, wide = log_f0(), log_f0(pitch_range=1.5)
    np.testing.assert_allclose(wide - wide.mean(), 1.5 * (plain - plain.mean()), atol=1e-6)
    assert wide.mean() == pytest.approx(plain.mean(), abs=1e-6)
    np.testing.assert_allclose(log_f0(pitch_range=0), plain.mean(), atol=1e-6)
    np.testing.assert_allclose(log_f0(pitch_range=1.5, pitch_shift=12) - wide, np.log(2), atol=1e-6)


def test_the_filter_to_another_voice_does_not_undo_the_controls(converter, features):
    whole = WholeRecording(features, CONFIG)
    other = converter.voices.sample(1, "male", seed=1)[0]
    filters = [
        converter.source.matching_filter_db(
            Request(features, ConversionOptions(rendering="source", **options), other, whole)
        )
        for options in ({}, {"effort": 1, "pitch_shift": 5, "rate": 1.3, "pitch_range": 2})
    ]
    np.testing.assert_array_equal(*filters)
