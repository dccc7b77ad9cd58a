"""Griffin-Lim: lengths, level and reproducibility."""

import types

import numpy as np
import pytest
from support.tiny_bundles import tone

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import log_mel, mel_filters, mel_to_magnitude
from evc_jax.evaluation.metrics import mel_l1
from evc_jax.vocoders import griffin_lim, make_vocoder

CONFIG = AudioConfig()


def mel_of(samples):
    return np.clip(log_mel(samples, CONFIG), 0, 1)


@pytest.mark.parametrize("samples", [1600, 4000, 16000, 16000 + 255, 16000 + 256, 40001])
def test_the_length_is_that_of_the_source(samples):
    source = tone(3)[:samples]
    assert griffin_lim.griffin_lim(mel_of(source), CONFIG, length=samples, iterations=2).shape == (samples,)


def test_mel_and_level_come_close():
    source = tone(2)
    rebuilt = griffin_lim.griffin_lim(mel_of(source), CONFIG, length=len(source))
    assert mel_l1(source, rebuilt, CONFIG) < 0.03
    assert 0.7 < np.std(rebuilt) / np.std(source) < 1.2


def test_the_seed_reproduces_the_sound():
    mel = mel_of(tone(0.5))
    first, same, other = (griffin_lim.griffin_lim(mel, CONFIG, length=8000, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-3


def test_linear_magnitudes_have_the_mel_they_came_from():
    mel = mel_of(tone(1))
    linear = griffin_lim.mel_to_linear(mel, CONFIG)
    assert linear.min() >= 0
    decibels = 20 * np.log10(linear @ mel_filters(CONFIG).T / mel_to_magnitude(mel, CONFIG))
    assert np.abs(decibels).mean() < 1


def test_the_vocoder_is_griffin_lim_itself():
    mel = mel_of(tone(1.5))
    expected = griffin_lim.griffin_lim(mel, CONFIG, length=24000, seed=7)
    np.testing.assert_array_equal(
        make_vocoder("griffin-lim", types.SimpleNamespace(audio=CONFIG))(mel, 24000, 7), expected
    )
