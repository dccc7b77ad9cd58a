"""The timbre converter's training: what the critic receives, and that its loss falls."""

import jax
import jax.numpy as jnp
import numpy as np
from support.tiny_systems import make_system
from support.vowels import sung_vowel

from benchmarks.fake_data import synthetic_batch
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import mel_filters
from evc_jax.features import speaker
from evc_jax.training import parallel
from evc_jax.training.systems import timbre_converter


def test_an_equal_change_of_all_bands_is_none():
    log_power = np.random.default_rng(0).uniform(-6, -2, (2, 40, speaker.MEL_BANDS)).astype(np.float32)
    changed = timbre_converter.changed_power(jnp.asarray(log_power), jnp.full((2, 26, 80), 7.0))
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
    changed = np.asarray(timbre_converter.changed_power(jnp.log10(before)[None], change))[0]
    ratio_db = 10 * np.log10(changed.mean(axis=0) / expected.mean(axis=0))
    loud = expected.mean(axis=0) > 1e-4 * expected.max()
    assert np.ptp(ratio_db[loud]) < 1.5


def test_the_loss_falls_on_a_batch_and_the_critic_is_not_trained():
    system = make_system("timbre_converter", optimizer={"learning_rate": 3e-3})
    critic = jax.tree.map(np.array, system._critic_params)
    batch = synthetic_batch(system, 8)
    mesh = parallel.device_mesh(jax.devices()[:1])
    step = parallel.map_step(system.step, mesh)
    state = parallel.init_replicated(system.init, jax.random.key(0), mesh)
    key, losses = parallel.replicate(jax.random.key(7), mesh), []
    for _ in range(30):
        state, metrics = step(state, parallel.shard_batch(batch, mesh), key)
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.02
    assert jax.tree.all(jax.tree.map(np.array_equal, critic, system._critic_params))
