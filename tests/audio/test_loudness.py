"""The level of speech, whatever surrounds it."""

import numpy as np
import pytest

from evc_jax.audio import loudness
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import highpass
from evc_jax.errors import AudioError

CONFIG = AudioConfig()


def level_dbfs(samples):
    return loudness.active_level_dbfs(highpass(samples, CONFIG), CONFIG)


def test_active_level_ignores_pauses_and_offset():
    tone = np.sin(2 * np.pi * 200 * np.arange(16000) / 16000).astype(np.float32) * 0.1
    expected_dbfs = level_dbfs(tone)
    assert expected_dbfs == pytest.approx(20 * np.log10(0.1 / np.sqrt(2)), abs=0.1)
    with_pauses = np.concatenate([np.zeros(16000, np.float32), tone, np.zeros(32000, np.float32)]) + np.float32(0.2)
    assert level_dbfs(with_pauses) == pytest.approx(expected_dbfs, abs=1)
    assert level_dbfs(tone / 8) == pytest.approx(expected_dbfs - 18.06, abs=0.01)


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_silence_is_refused(offset):
    with pytest.raises(AudioError, match="silent"):
        level_dbfs(np.full(16000, offset, np.float32))


def test_quiet_is_silent_only_where_nothing_stands_out():
    hiss = 1e-5 * np.random.default_rng(0).standard_normal(16000)
    with pytest.raises(AudioError, match="silent"):
        level_dbfs(hiss)
    assert level_dbfs(1e3 * hiss) == pytest.approx(-40, abs=0.5)
    hiss[8000:12000] *= 5
    assert -100 < level_dbfs(hiss) < -86


def test_short_loud_words_count_and_pops_do_not():
    powers = np.full(100, 1e-4)
    powers[20:30] = 1e-1
    assert loudness.loudest_power(powers) == 1e-1
    powers[20:30] = 1e-4
    powers[50:55] = 1e-1
    assert loudness.loudest_power(powers) == 1e-4
    assert loudness.loudest_power(np.array([1.0])) == 1
