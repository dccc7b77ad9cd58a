"""Controls that need no network: melody, voice, loudness, effort; each one's neutral position changes nothing.

Vocal effort is the slope of the spectrum at one level. From normal to shouted the speech spectra of ANSI S3.5-1997 (in
one-third octaves) rise by 3.4 dB per octave between 300 Hz and 5 kHz, to loud by 1.6. Envelopes of voiced frames rise
by 3.4 (deviation 1.8) from neutral to strong anger of 18 training speakers of RAVDESS, by 1.0 to anger of normal
intensity, and by 2.8 to anger of 4 speakers of EmoDB. Level and F0 rise with effort, too (Traunmueller and Eriksson
2000); they are other controls'.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.loudness import ACTIVE_RANGE_DB
from evc_jax.audio.mel import slaney_centres_hz
from evc_jax.conversion.options import OPTIONS, ConversionOptions
from evc_jax.features import prosody, time_warp
from evc_jax.features.extract import Features
from evc_jax.features.f0_codes import LogF0Statistics
from evc_jax.features.prosody import ProsodyReference

SEMITONES_PER_OCTAVE = 12
FAKE_NEUTRAL_GAIN = 0.1  # emo-clone's demo multiplies the pitch code with it
EFFORT_DB_PER_OCTAVE = 3.4  # of an effort of 1
EFFORT_RANGE_HZ = (300.0, 5000.0)  # below and above the spectrum keeps its slope
_CONTROLS = ("pitch_range", "pitch_shift", "rate", "effort", "flatten_pitch")
_NEUTRAL = {option.name: option.default for option in OPTIONS if option.name in _CONTROLS}
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


def without(options: ConversionOptions) -> ConversionOptions:
    """The options with neutral controls of pitch, rate and effort: emotion and voice alone."""
    return replace(options, **_NEUTRAL)


def any_set(options: ConversionOptions) -> bool:
    """Whether one of these controls is off its neutral value."""
    return any(getattr(options, name) != value for name, value in _NEUTRAL.items())


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


def amplified(sound: Float[np.ndarray, " S"], loudness_db: float) -> Float[np.ndarray, " S"]:
    """The sound so many decibels louder; peaks may pass full scale."""
    return sound if loudness_db == 0 else sound * np.float32(10 ** (loudness_db / 20))


def speech_power(mel: Float[np.ndarray, "T F"], config: AudioConfig) -> Float[np.ndarray, " F"]:
    """Mean power of the speech in each mel band, up to a factor.

    Args:
      mel: log-mel; as in `loudness.active_level_dbfs`, frames far below the loudest one do not count.
      config: of the mel.
    """
    powers = 10 ** (mel.astype(np.float64) * config.range_db / 10) * np.gradient(_centres_hz(config))
    of_frames = powers.sum(axis=1)
    return powers[of_frames > of_frames.max() * 10 ** (-ACTIVE_RANGE_DB / 10)].mean(axis=0)


def effort_filter_db(effort: float, power: Float[np.ndarray, " F"], config: AudioConfig) -> Float[np.ndarray, " F"]:
    """The change of each mel band that an effort is, without a change of the speech's level.

    Args:
      effort: from -1 to 1.
      power: `speech_power` of what is filtered.
      config: of the bands.
    """
    lowest_hz, highest_hz = EFFORT_RANGE_HZ
    tilt_db = effort * EFFORT_DB_PER_OCTAVE * np.log2(np.clip(_centres_hz(config), lowest_hz, highest_hz) / lowest_hz)
    return tilt_db - 10 * np.log10((power * 10 ** (tilt_db / 10)).sum() / power.sum())


def effort_change_db(
    features: Features,
    reference: ProsodyReference,
    filter_db: Float[np.ndarray, " F"],
    positions: Float[np.ndarray, " T2"],
    config: AudioConfig,
) -> Float[np.ndarray, "T2 F"]:
    """`effort_filter_db` where there is speech, at positions between the frames of a recording.

    Args:
      features: of the recording, or of a segment of it.
      reference: of the whole recording, beside whose loudest speech a frame is speech or noise.
      filter_db: of the effort.
      positions: in frames of the features.
      config: of the features.
    """
    track = prosody.measure(features.mel, features.f0_hz, features.level_gain, config)
    return time_warp.warp(prosody.speech_share(track, reference), positions) * filter_db.astype(np.float32)


@functools.cache
def _centres_hz(config: AudioConfig) -> Float[np.ndarray, " F"]:
    return slaney_centres_hz(config.mel_bands, config.mel_min_hz, config.mel_max_hz)
