"""Silence: where it is found, and that it stays silence and as long."""

import numpy as np
import pytest
from support.tiny_bundles import tone

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import condition, frame_signal
from evc_jax.audio.pauses import FADE_S, Pause, cut_at_pauses, find_pauses, mute_pauses, restore_pauses, silent_frames

CONFIG = AudioConfig()
FADE = round(FADE_S * 16000)


def pauses_of(samples):
    silent = silent_frames(frame_signal(condition(samples, CONFIG), 1024, 256))
    return find_pauses(silent, len(samples), CONFIG)


def with_pause(seconds, noise=0.0):
    pause = noise * np.random.default_rng(0).standard_normal(round(seconds * 16000))
    return np.concatenate([tone(1), pause, tone(1)]).astype(np.float32)


@pytest.mark.parametrize("noise", [0.0, 3e-5])
def test_a_long_pause_is_found(noise):
    (pause,) = pauses_of(with_pause(1.5, noise))
    # the high-pass rings for a while
    assert 16000 <= pause.first < 16000 + 3000 and 40000 - 3000 < pause.end <= 40000
    assert pause.fades_out and pause.fades_in


@pytest.mark.parametrize("samples", [with_pause(0.4), with_pause(1.5, 1e-3), tone(1)])
def test_short_pauses_and_background_are_none(samples):
    assert pauses_of(samples) == []


def test_silence_at_both_ends_needs_no_fade():
    samples = np.concatenate([np.zeros(16000), tone(1), np.zeros(16100)]).astype(np.float32)
    first, last = pauses_of(samples)
    assert (first.first, first.fades_out, first.fades_in) == (0, False, True)
    assert (last.end, last.fades_out, last.fades_in) == (len(samples), True, False)


def test_pauses_become_zeros_between_two_fades():
    pauses = [Pause(0, 2000, fades_out=False), Pause(8000, 20000), Pause(30000, 40000, fades_in=False)]
    sound = np.ones(40000, np.float32)
    out = mute_pauses(sound, pauses, CONFIG)
    expected_zero = np.zeros(40000, bool)
    for first, end in [(0, 2000 - FADE), (8000 + FADE, 20000 - FADE), (30000 + FADE, 40000)]:
        expected_zero[first:end] = True
    assert not out[expected_zero].any()
    assert (out[2000:8000] == 1).all() and (out[20000:30000] == 1).all()
    jumps = np.abs(np.diff(out))
    assert jumps.max() < 2 / FADE
    assert sound.all()  # what was given is left alone


def test_without_pauses_nothing_changes():
    sound = tone(1)
    assert mute_pauses(sound, [], CONFIG) is sound


@pytest.mark.parametrize("rate", [1, 2.0])
def test_a_conversion_keeps_the_pauses_of_its_source(rate):
    source = with_pause(1.5)
    (pause,) = pauses_of(source)
    out = restore_pauses(np.ones(round(len(source) / rate), np.float32), source, CONFIG, rate)
    silent = np.flatnonzero(out == 0)
    assert abs(len(silent) - ((pause.end - pause.first) / rate - 2 * FADE)) <= 2
    assert abs(silent[0] - pause.first / rate - FADE) <= 2
    assert (out[: round(pause.first / rate)] == 1).all() and (out[round(pause.end / rate) :] == 1).all()


def cuts_of(active, powers=None):
    powers = np.where(active, 1.0, 0.01) if powers is None else powers
    segments = cut_at_pauses(powers, active, 256 * (len(active) - 1) + 100, CONFIG)
    assert segments[0].first == 0 and segments[-1].end == 256 * (len(active) - 1) + 100
    assert all(a.end == b.first for a, b in zip(segments, segments[1:], strict=False))
    return [(segment.first // 256, segment.forced) for segment in segments[1:]]


def test_a_recording_is_cut_in_its_longest_pause():
    active = np.ones(5001, bool)  # 80 s
    for first, end in [(100, 400), (1500, 1530), (2000, 2060), (3000, 3018), (3700, 3760)]:
        active[first:end] = False
    assert cuts_of(active) == [(2030, False)]
    assert cuts_of(active[:3750]) == []  # it is no longer than a segment


def test_a_pause_longer_than_a_segment_is_cut_in_the_middle_of_what_a_segment_holds():
    active = np.zeros(10_001, bool)
    active[:10] = True
    assert cuts_of(active) == [(2500, False), (5000, False), (7500, False)]


def test_without_a_pause_the_quietest_moment_is_cut():
    active, powers = np.ones(5001, bool), np.ones(5001)
    active[1500:1515] = False  # 0.24 s
    powers[1500:1515] = 0.4
    powers[2500:2506] = 0.1
    powers[2700] = 0.0
    assert cuts_of(active, powers) == [(2503, True)]
