"""Silence: where it is found, and that it stays silence and as long."""

import numpy as np
import pytest
from support.tiny_bundles import tone

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import condition, frame_signal
from evc_jax.audio.pauses import FADE_S, Pause, find_pauses, mute_pauses, restore_pauses, silent_frames

CONFIG = AudioConfig()
FADE = round(FADE_S * 16000)


def pauses_of(samples, block=50):
    silent = silent_frames(frame_signal(condition(samples, CONFIG), 1024, 256))
    return list(find_pauses(np.split(silent, range(block, len(silent), block)), len(samples), CONFIG))


def with_pause(seconds, noise=0.0):
    pause = noise * np.random.default_rng(0).standard_normal(round(seconds * 16000))
    return np.concatenate([tone(1), pause, tone(1)]).astype(np.float32)


@pytest.mark.parametrize("block", [1, 30, 1000])
@pytest.mark.parametrize("noise", [0.0, 3e-5])
def test_a_long_pause_is_found(noise, block):
    (pause,) = pauses_of(with_pause(1.5, noise), block)
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


@pytest.mark.parametrize("block", [100, 3000, 50000])
def test_pauses_become_zeros_between_two_fades(block):
    pauses = [Pause(0, 2000, fades_out=False), Pause(8000, 20000), Pause(30000, 40000, fades_in=False)]
    sound = np.ones(40000, np.float32)
    out = np.concatenate(list(mute_pauses(np.split(sound, range(block, 40000, block)), pauses, CONFIG)))
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
    (out,) = mute_pauses([sound], [], CONFIG)
    assert out is sound


@pytest.mark.parametrize("rate", [1, 2.0])
def test_a_conversion_keeps_the_pauses_of_its_source(rate):
    source = with_pause(1.5)
    (pause,) = pauses_of(source)
    out = restore_pauses(np.ones(round(len(source) / rate), np.float32), source, CONFIG, rate)
    silent = np.flatnonzero(out == 0)
    assert abs(len(silent) - ((pause.end - pause.first) / rate - 2 * FADE)) <= 2
    assert abs(silent[0] - pause.first / rate - FADE) <= 2
    assert (out[: round(pause.first / rate)] == 1).all() and (out[round(pause.end / rate) :] == 1).all()
