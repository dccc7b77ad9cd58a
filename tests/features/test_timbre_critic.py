"""What the critic receives is the encoder's spectrogram of a filtered recording."""

import jax.numpy as jnp
import numpy as np
from support.vowels import sung_vowel

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import mel_filters
from evc_jax.features import speaker
from evc_jax.features.timbre_critic import changed_power


def test_an_equal_change_of_all_bands_is_none():
    log_power = np.random.default_rng(0).uniform(-6, -2, (2, 40, speaker.MEL_BANDS)).astype(np.float32)
    changed = changed_power(jnp.asarray(log_power), jnp.full((2, 26, 80), 7.0))
    np.testing.assert_allclose(changed, 10**log_power, rtol=1e-4)


def test_a_change_of_the_mel_is_that_of_a_filtered_recording():
    """The critic's input after a change is the encoder's spectrogram of the recording filtered so."""
    config, sound = AudioConfig(), sung_vowel(140.0)
    slope_db = np.linspace(12, -12, config.mel_bands)
    bins_hz = np.fft.rfftfreq(len(sound), 1 / config.sample_rate_hz)
    centres_hz = np.argmax(mel_filters(config), axis=1) * config.sample_rate_hz / config.window_samples
    response = 10 ** (np.interp(bins_hz, centres_hz, slope_db) / 20)
    filtered = np.fft.irfft(np.fft.rfft(sound) * response, len(sound)).astype(np.float32)
    window = slice(20, 60)
    before, expected = (speaker.power_mel(each)[window] for each in (sound, filtered))
    change = jnp.broadcast_to(jnp.asarray(slope_db, jnp.float32), (1, 26, config.mel_bands))
    changed = np.asarray(changed_power(jnp.log10(before)[None], change))[0]
    ratio_db = 10 * np.log10(changed.mean(axis=0) / expected.mean(axis=0))
    loud = expected.mean(axis=0) > 1e-4 * expected.max()
    assert np.ptp(ratio_db[loud]) < 1.5
