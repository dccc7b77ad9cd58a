"""Rendering from the source: what is not asked to change stays, and what is asked arrives."""

import numpy as np
import pytest
from support.tiny_bundles import tone
from support.vowels import sung_vowel

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import frame_count, log_mel
from evc_jax.conversion.rendering import Change, render
from evc_jax.features import extract as extraction
from evc_jax.features.harmonics import envelope_filter
from evc_jax.features.pitch import estimate_f0

CONFIG = AudioConfig()


def features_of(sound):
    return extraction.extract(sound, 16000, CONFIG, lambda _: np.full(256, 1 / 16, np.float32))


def neutral(features, rate=1.0):
    samples = round(len(features.audio) / rate)
    return Change.neutral(frame_count(samples, CONFIG), CONFIG, rate), samples


def semitones(features, count, rate=1.0):
    change, samples = neutral(features, rate)
    return render(features, change.with_log_f0(np.full(len(change.log_f0), count * np.log(2) / 12)), samples, CONFIG)


def median_hz(sound):
    f0_hz = estimate_f0(sound, CONFIG)
    return np.median(f0_hz[f0_hz > 0])


def test_no_change_is_the_recording_itself():
    features = features_of(tone(1.0))
    change, samples = neutral(features)
    assert change.is_neutral and render(features, change, samples, CONFIG) is features.audio


@pytest.mark.parametrize("f0_hz", [90.0, 140.0, 300.0])
@pytest.mark.parametrize("count", [-4, 3, 8])
def test_pitch_moves_by_what_is_asked_and_formants_stay(f0_hz, count):
    features = features_of(sung_vowel(f0_hz, "e"))
    sound = semitones(features, count)
    assert 12 * np.log2(median_hz(sound) / median_hz(features.audio)) == pytest.approx(count, abs=0.3)
    # Above 1.5 kHz the bands are wider than the harmonics' distance. Formants that moved along would do so by 6 bands
    # for 4 semitones and by 12 for 8.
    bands = np.stack([log_mel(each, CONFIG)[10:-10, 35:75].mean(axis=0) for each in (features.audio, sound)])
    peaks = (bands @ envelope_filter(40, 12)).argmax(axis=1)
    assert abs(peaks[1] - peaks[0]) <= 2


@pytest.mark.parametrize("rate", [0.6, 1.5])
@pytest.mark.parametrize("count", [0, 4])
def test_rate_and_pitch_are_independent(rate, count):
    features = features_of(sung_vowel(150.0))
    sound = semitones(features, count, rate)
    assert len(sound) == round(len(features.audio) / rate)
    assert 12 * np.log2(median_hz(sound) / median_hz(features.audio)) == pytest.approx(count, abs=0.3)


def test_a_melody_of_its_own_is_followed():
    features = features_of(sung_vowel(160.0, seconds=1.5))
    change, samples = neutral(features)
    wanted = np.linspace(0, 7, len(change.log_f0)) * np.log(2) / 12
    f0_hz = estimate_f0(render(features, change.with_log_f0(wanted), samples, CONFIG), CONFIG)
    both = (f0_hz > 0) & (features.f0_hz > 0)
    assert np.median(np.abs(np.log(f0_hz / features.f0_hz)[both] - wanted[both])) < 0.3 * np.log(2) / 12


def test_unvoiced_sound_around_a_voice_that_moves_is_the_recording_itself():
    hiss = 0.02 * np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    features = features_of(np.concatenate([hiss, sung_vowel(150.0), hiss]))
    sound = semitones(features, 4)
    for place in (slice(0, 15000), slice(33000, 48000)):
        np.testing.assert_array_equal(sound[place], features.audio[place])
    assert np.abs(sound[20000:28000] - features.audio[20000:28000]).max() > 0.01


@pytest.mark.parametrize("count, rate", [(0, 1.0), (3, 1.0), (0, 1.3), (3, 1.3)])
def test_the_filter_applies_to_voice_and_noise_alike(count, rate):
    hiss = 0.02 * np.random.default_rng(0).standard_normal(12000).astype(np.float32)
    features = features_of(np.concatenate([hiss, sung_vowel(150.0)]))
    change, samples = neutral(features, rate)
    change = change.with_log_f0(np.full(len(change.log_f0), count * np.log(2) / 12))
    wanted_db = np.broadcast_to(np.linspace(-4, 6, 80, dtype=np.float32), change.filter_db.shape)
    plain, filtered = (render(features, each, samples, CONFIG) for each in (change, change.with_filter(wanted_db)))
    rise_db = 100 * (log_mel(filtered, CONFIG) - log_mel(plain, CONFIG))
    loud = log_mel(plain, CONFIG) > 0.4
    assert loud.mean() > 0.3 and np.quantile(np.abs(rise_db - wanted_db)[loud], 0.99) < 1


def test_changes_add_up_on_one_clock_only():
    features = features_of(tone(0.5))
    change = neutral(features)[0]
    one = change.with_filter(np.full_like(change.filter_db, 2))
    both = one + one.with_log_f0(np.full(len(change.log_f0), 0.1))
    assert (both.filter_db == 4).all() and (both.log_f0 == 0.1).all() and not both.is_neutral
    with pytest.raises(ValueError, match="different clocks"):
        one + Change.neutral(len(one.log_f0), CONFIG, 1.2)


def _sounds():
    random = np.random.default_rng(0)
    click = np.zeros(16000, np.float32)
    click[8000:8010] = 0.5
    return {
        "whisper": 0.05 * random.standard_normal(16000).astype(np.float32) * np.hanning(16000).astype(np.float32),
        "almost silent": 1e-4 * sung_vowel(120.0),
        "a pulse": click + 1e-3 * random.standard_normal(16000).astype(np.float32),
        "a tenth of a second": sung_vowel(150.0)[8000:9600],
        "high singing": sung_vowel(580.0),
        "creak": (np.arange(16000) % 400 == 0).astype(np.float32) * 0.3
        + 1e-4 * random.standard_normal(16000).astype("f4"),
        "voiced to both ends": tone(0.6),
        "hum and hiss": (0.1 * np.sin(np.arange(16000) * 0.02) + 0.1 * random.standard_normal(16000)).astype(
            np.float32
        ),
    }


@pytest.mark.parametrize("name", _sounds())
def test_any_recording_can_be_rendered(name):
    features = features_of(_sounds()[name])
    for count, rate in ((12, 0.5), (-12, 2.0), (5, 1.0)):
        sound = semitones(features, count, rate)
        assert len(sound) == round(len(features.audio) / rate) and sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert np.abs(sound).max() < 4 * np.abs(features.audio).max()
