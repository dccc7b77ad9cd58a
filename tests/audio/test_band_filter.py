"""A recording filtered in mel bands: what is asked for arrives, what is not stays as it is."""

import numpy as np
import pytest
from support.tiny_bundles import tone

from evc_jax.audio.band_filter import filter_bands
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import frame_count, log_mel

CONFIG = AudioConfig()


def noise(seconds=1.5):
    return (0.05 * np.random.default_rng(0).standard_normal(round(seconds * 16000))).astype(np.float32)


def bands(sound, filter_db):
    return np.broadcast_to(filter_db, (frame_count(len(sound), CONFIG), 80)).astype(np.float32)


@pytest.mark.parametrize("make", [noise, lambda: tone(1.5)])
def test_every_band_changes_by_what_the_filter_says(make):
    sound = make()
    wanted_db = bands(sound, 6 * np.cos(np.pi * 3 * np.arange(80) / 80) - 2)
    rise_db = 100 * (log_mel(filter_bands(sound, wanted_db, CONFIG), CONFIG) - log_mel(sound, CONFIG))
    loud = log_mel(sound, CONFIG) > 0.3
    assert np.quantile(np.abs(rise_db - wanted_db)[loud], 0.99) < 1


def test_a_gain_is_a_gain_up_to_both_ends():
    sound = noise()
    np.testing.assert_allclose(filter_bands(sound, bands(sound, 6.0), CONFIG), sound * 10 ** (6 / 20), atol=1e-5)


def test_sound_away_from_a_change_is_untouched_to_the_sample():
    sound, filter_db = noise(), bands(noise(), 0.0).copy()
    filter_db[40:44] = 9
    changed = np.flatnonzero(filter_bands(sound, filter_db, CONFIG) != sound)
    assert changed.min() >= 38 * 256 - 1 and changed.max() <= 45 * 256
    assert filter_bands(sound, bands(sound, 0.0), CONFIG) is sound


@pytest.mark.parametrize("samples", [10, 255, 700, 1025])
def test_very_short_sounds(samples):
    sound = noise()[:samples]
    np.testing.assert_allclose(filter_bands(sound, bands(sound, -6.0), CONFIG), sound * 10 ** (-6 / 20), atol=1e-5)
