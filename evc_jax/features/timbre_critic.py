"""The voice encoder as a critic of trainings: what it would receive of a recording whose spectrum is changed.

The encoder's power mel-spectrogram is multiplied with the change, interpolated to its bands and frames: within 1.5 dB
of the spectrogram of the filtered recording. Random filters, noise and gains before the critic leave less room for
patterns that only this encoder takes for a voice.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import slaney_centres_hz
from evc_jax.features import speaker
from evc_jax.models import voice_encoder
from evc_jax.models.network import Network, Params
from evc_jax.models.timbre_converter import cosines

NEAR_MARGIN, NEAR_SHARPNESS = 0.1, 10.0
MIN_POWER = 1e-10
FILTER_DB, GAIN_DB = 1.2, 4.0
FILTER_COSINES = 8
LOUDEST_NOISE_DB, SOFTEST_NOISE_DB = -25.0, -60.0
STEEPEST_NOISE = -2.0  # exponent of the noise's power over the number of the band


def log_power(power: Float[np.ndarray, "P K"]) -> Float[np.ndarray, "P K"]:
    """The decimal logarithm of `speaker.power_mel`."""
    return np.log10(np.maximum(power, MIN_POWER))


def encoder_frames(frames: Any, hop_samples: int = AudioConfig().hop_samples) -> Any:
    """Frames of the voice encoder that lie in so many mel frames, a number or an array of them."""
    return (frames - 1) * hop_samples // speaker.MEL_HOP_SAMPLES + 1


def load_critic(dtype: str) -> tuple[Network, Params]:
    """The voice encoder with arithmetic of this type, and its parameters."""
    encoder = Network(voice_encoder.VoiceEncoder, voice_encoder.VoiceEncoderConfig(dtype=dtype))
    return encoder, voice_encoder.load_params(speaker.WEIGHTS)


def changed_power(log_power: Float[Array, "B P K"], db: Float[Array, "B T F"]) -> Float[Array, "B P K"]:
    """The encoder's power mel-spectrogram after a change in dB of our mel bands and frames; the level is kept.

    Args:
      log_power: decimal logarithm of the spectrogram before.
      db: the change at the frames of `AudioConfig`'s defaults; the first frames of both are at the same time.
    """
    config = AudioConfig()
    centres_hz = slaney_centres_hz(config.mel_bands, config.mel_min_hz, config.mel_max_hz)
    bands = interpolation(centres_hz, encoder_centres_hz())
    times = np.arange(log_power.shape[1]) * speaker.MEL_HOP_SAMPLES / config.hop_samples
    frames = interpolation(np.arange(db.shape[1]), times)
    before = 10.0**log_power
    after = before * from_db(jnp.einsum("pt,btf,kf->bpk", frames, db, bands))
    total, new_total = (jnp.sum(power * band_widths_hz(), axis=(1, 2), keepdims=True) for power in (before, after))
    return after * (total / new_total)


def distances(
    embedding: Float[Array, "*B E"], source: Float[Array, "*B E"], target: Float[Array, "*B E"]
) -> tuple[Float[Array, "*B"], Float[Array, "*B"]]:
    """1 minus the cosine to the target, and a smooth measure of being nearer to the source than to the target."""
    to_target, to_source = (jnp.sum(embedding * other, axis=-1) for other in (target, source))
    nearness = jax.nn.softplus((to_source - to_target + NEAR_MARGIN) * NEAR_SHARPNESS) / NEAR_SHARPNESS
    return 1 - to_target, nearness


def perturbed(
    keys: Key[Array, " B"], power: Float[Array, "B P K"], filter_db: float = FILTER_DB, gain_db: float = GAIN_DB
) -> Float[Array, "B P K"]:
    """The critic's input through a random smooth filter, with a random gain and noise.

    Args:
      keys: the samples' own.
      power: the encoder's power mel-spectrograms.
      filter_db: standard deviation of the filters' first cosine.
      gain_db: largest gain.
    """
    return jax.vmap(lambda key, each: _perturb(key, each, filter_db, gain_db))(keys, power)


def _perturb(key: Array, power: Float[Array, "P K"], filter_db: float, gain_db: float) -> Float[Array, "P K"]:
    filter_key, gain_key, level_key, slope_key = jax.random.split(key, 4)
    bands = speaker.MEL_BANDS
    heights = jax.random.normal(filter_key, (FILTER_COSINES,)) / jnp.sqrt(1.0 + jnp.arange(FILTER_COSINES))
    response_db = filter_db * heights @ cosines(FILTER_COSINES, np.arange(bands), bands)
    response_db += jax.random.uniform(gain_key, minval=-1, maxval=1) * gain_db
    power = power * from_db(response_db)
    level = from_db(jax.random.uniform(level_key, minval=SOFTEST_NOISE_DB, maxval=LOUDEST_NOISE_DB))
    noise = jnp.arange(1.0, bands + 1) ** jax.random.uniform(slope_key, minval=STEEPEST_NOISE, maxval=0)
    loudness = jnp.mean(jnp.sum(power * band_widths_hz(), axis=-1)) / jnp.sum(noise * band_widths_hz())
    return power + noise * loudness * level


def interpolation(known: np.ndarray, wanted: np.ndarray) -> Float[np.ndarray, "W K"]:
    """The matrix that interpolates values at `known` places linearly at `wanted` ones, and holds those at the ends."""
    return np.stack([np.interp(wanted, known, row) for row in np.eye(len(known))], axis=1).astype(np.float32)


def encoder_centres_hz() -> Float[np.ndarray, " K"]:
    """Centres of the voice encoder's mel bands."""
    return slaney_centres_hz(speaker.MEL_BANDS, 0.0, speaker.SAMPLE_RATE_HZ / 2)


def band_widths_hz() -> Float[np.ndarray, " K"]:
    """What the encoder's mel bands, which are of unit area, are weighted with to sum to the power."""
    return np.gradient(encoder_centres_hz()).astype(np.float32)


def from_db(decibels: Array) -> Array:
    """Factor of power."""
    return 10.0 ** (decibels / 10)
