"""Controls of melody and voice that need no network; each one's neutral position returns its input itself."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from evc_jax.conversion.options import ConversionOptions
from evc_jax.features.f0_codes import LogF0Statistics

SEMITONES_PER_OCTAVE = 12
FAKE_NEUTRAL_GAIN = 0.1  # emo-clone's demo multiplies the pitch code with it
# Voices closer than this angle are one: the great circle between them is not defined.
_SMALLEST_ANGLE = 1e-4


def change_pitch(
    f0_hz: Float[np.ndarray, "*shape"], statistics: LogF0Statistics, factor: float, semitones: float
) -> Float[np.ndarray, "*shape"]:
    """Widens and shifts a melody on the logarithmic scale.

    Args:
      f0_hz: 0 where unvoiced, which stays.
      statistics: of the speaker; the widening goes out from their mean.
      factor: of the distance from the mean; 1 is neutral, 0 makes the melody flat.
      semitones: by how much everything moves up; 0 is neutral.
    """
    if factor == 1 and semitones == 0:
        return f0_hz
    voiced = f0_hz > 0
    log_f0 = np.log(np.where(voiced, f0_hz, 1.0).astype(np.float64))
    moved = statistics.mean + factor * (log_f0 - statistics.mean) + semitones * np.log(2) / SEMITONES_PER_OCTAVE
    return np.where(voiced, np.exp(moved), 0).astype(np.float32)


def remaining_range(options: ConversionOptions) -> float:
    """What `flatten_pitch` leaves of the pitch code and of the melody's width: 1 to a tenth."""
    return 1 - (1 - FAKE_NEUTRAL_GAIN) * options.flatten_pitch


def blend_voices(
    source: Float[np.ndarray, " C"], other: Float[np.ndarray, " C"], share: float
) -> Float[np.ndarray, " C"]:
    """The voice on the great circle from `source` (0) to `other` (1): spherical linear interpolation (Shoemake 1985).

    Both are of unit length and so is the result; between voices of non-negative values it is non-negative.
    """
    if share == 0:
        return source
    if share == 1:
        return other
    angle = np.arccos(np.clip(source.astype(np.float64) @ other, -1, 1))
    if angle < _SMALLEST_ANGLE:
        return other
    blended = np.sin((1 - share) * angle) * source + np.sin(share * angle) * other
    return (blended / np.linalg.norm(blended)).astype(np.float32)
