"""The timbre converter's change: none for the same voice, a warp that moves formants, bounds that hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evc_jax.audio.config import AudioConfig
from evc_jax.errors import ConfigError
from evc_jax.models.network import Network
from evc_jax.models.timbre_converter import (
    TimbreConverter,
    TimbreConverterConfig,
    band_centres_hz,
    warped_envelope_db,
)

CONFIG = TimbreConverterConfig(width=16, blocks=2)
BANDS = AudioConfig().mel_bands


@pytest.fixture(scope="module")
def converter():
    """Random parameters, compiled: (mel, source, target, shift) -> change."""
    network = Network(TimbreConverter, CONFIG)
    params = network.init(jax.random.key(0))
    compiled = jax.jit(network.apply)
    return lambda *inputs: compiled(params, *inputs)


def _voice(*numbers):
    voices = np.zeros((len(numbers), 256), np.float32)
    voices[np.arange(len(numbers)), list(numbers)] = 1
    return voices


def _formant(centre_hz):
    """A log-mel frame with one broad peak."""
    return np.exp(-((np.log(band_centres_hz(BANDS) / centre_hz) / 0.3) ** 2)).astype(np.float32)


def test_the_same_voice_changes_nothing(converter):
    mel = np.random.default_rng(0).random((1, 30, BANDS), np.float32)
    change = converter(mel, _voice(3), _voice(3), np.zeros(1, np.float32))
    np.testing.assert_allclose(change.db, 0, atol=1e-3)
    other = converter(mel, _voice(3), _voice(4), np.zeros(1, np.float32))
    assert np.abs(other.db).max() > 0.1


def test_a_warp_moves_a_formant():
    mel_db = 40 * jnp.broadcast_to(_formant(1500.0), (1, 5, BANDS))
    factor = 1.2
    change = np.asarray(warped_envelope_db(mel_db, jnp.log(jnp.array([factor])), CONFIG))
    peak_hz = band_centres_hz(BANDS)[np.argmax(mel_db + change, axis=-1)]
    np.testing.assert_allclose(peak_hz, 1500 * factor, rtol=0.03)
    np.testing.assert_allclose(warped_envelope_db(mel_db, jnp.zeros(1), CONFIG), 0, atol=1e-4)


def test_a_higher_register_has_shorter_vocal_tracts(converter):
    mel = np.zeros((2, 30, BANDS), np.float32)
    up, down = converter(mel, _voice(0, 0), _voice(1, 1), np.array([0.6, -0.6], np.float32)).warp
    assert up > down
    bound = 0.6 * CONFIG.warp_per_register + CONFIG.largest_warp
    assert max(abs(float(up)), abs(float(down))) <= bound


def test_samples_of_a_batch_are_independent(converter):
    draw = np.random.default_rng(1)
    mel, shift = draw.random((3, 30, BANDS), np.float32), draw.normal(size=3).astype(np.float32) / 4
    whole = converter(mel, _voice(0, 1, 2), _voice(3, 4, 5), shift).db
    one = converter(mel[1:2], _voice(1), _voice(4), shift[1:2]).db
    np.testing.assert_allclose(whole[1:2], one, atol=2e-4)


def test_more_cosines_than_bands_are_refused():
    with pytest.raises(ConfigError, match="cosines is 81; expected at most mel_bands 80"):
        TimbreConverterConfig(cosines=81)
