"""Harmonics of a mel-spectrogram move, its envelope and its unvoiced frames stay."""

import numpy as np
import pytest
from support.tiny_bundles import tone

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import log_mel
from evc_jax.features import pitch
from evc_jax.features.harmonics import move_harmonics
from evc_jax.vocoders.griffin_lim import griffin_lim

CONFIG = AudioConfig()


def mel_of(samples):
    return np.clip(log_mel(samples, CONFIG), 0, 1)


def test_nothing_to_move_returns_the_spectrogram_itself():
    mel = mel_of(tone(0.5))
    f0_hz = np.full(len(mel), 140, np.float32)
    assert move_harmonics(mel, f0_hz, f0_hz, CONFIG) is mel
    assert move_harmonics(mel, 0 * f0_hz, f0_hz, CONFIG) is mel


def test_a_tiny_move_makes_a_tiny_change():
    mel = mel_of(tone(0.5))
    f0_hz = np.full(len(mel), 140, np.float32)
    moves = (move_harmonics(mel, f0_hz, f0_hz * np.float32(factor), CONFIG) for factor in (1.00001, 1.001, 1.1))
    changes = [np.abs(moved - mel).max() for moved in moves]
    assert changes[0] < 0.001 < changes[1] < changes[2] / 3


def test_only_voiced_frames_change():
    mel = mel_of(tone(0.5))
    f0_hz = np.where(np.arange(len(mel)) % 2, 140, 0).astype(np.float32)
    moved = move_harmonics(mel, f0_hz, 1.3 * f0_hz, CONFIG)
    np.testing.assert_array_equal(moved[::2], mel[::2])
    assert (np.abs(moved[1::2] - mel[1::2]).max(axis=1) > 0.01).all()
    assert moved.min() >= 0 and moved.max() <= 1 and moved.dtype == np.float32


@pytest.mark.parametrize("factor", [0.8, 1.26])
def test_the_result_resembles_the_same_voice_at_the_other_pitch(factor):
    low, high = mel_of(tone(1.0, f0_hz=140)), mel_of(tone(1.0, f0_hz=140 * factor))
    f0_hz = pitch.estimate_f0(tone(1.0, f0_hz=140), CONFIG)
    voiced = f0_hz > 0
    moved = move_harmonics(low, f0_hz, f0_hz * np.float32(factor), CONFIG)
    before, after = (np.abs(x - high)[voiced, :50].mean() for x in (low, moved))
    assert after < 0.8 * before


def test_windows_are_as_good_as_frames():
    mel = mel_of(tone(1.0))
    f0_hz = np.full(len(mel), 140, np.float32)
    whole = move_harmonics(mel, f0_hz, 1.5 * f0_hz, CONFIG)
    windows, contours = mel[:62].reshape(2, 31, 80), f0_hz[:62].reshape(2, 31)
    moved = move_harmonics(windows, contours, 1.5 * contours, CONFIG)
    np.testing.assert_allclose(moved.reshape(62, 80), whole[:62], atol=1e-6)


def test_the_result_has_the_other_pitch():
    samples = tone(1.5, f0_hz=140)
    f0_hz = pitch.estimate_f0(samples, CONFIG)
    mel = mel_of(samples)
    moved = move_harmonics(mel, f0_hz, f0_hz * np.float32(2 ** (4 / 12)), CONFIG)
    found_hz = pitch.estimate_f0(griffin_lim(moved, CONFIG, length=len(samples)), CONFIG)
    both = (found_hz > 0) & (f0_hz > 0)
    assert both.mean() > 0.5
    assert 12 * np.log2(np.median(found_hz[both] / f0_hz[both])) == pytest.approx(4, abs=0.7)
