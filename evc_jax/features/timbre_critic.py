"""What the voice encoder would receive of a recording whose spectrum is changed, as a function with gradients.

The encoder's power mel-spectrogram is multiplied with the change, interpolated to its bands and frames: within 1.5 dB
of the spectrogram of the filtered recording.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import slaney_centres_hz
from evc_jax.features import speaker

NEAR_MARGIN, NEAR_SHARPNESS = 0.1, 10.0


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
