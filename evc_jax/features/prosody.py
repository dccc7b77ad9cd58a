"""Prosody: the melody, loudness and spectral shape of a recording, relative to the recording itself.

What an emotion changes and a rendering from the source can change: F0 in semitones, and the log-mel spectrum in
decibels as a few cosines over its bands (cepstra), of which the first is the loudness and the next are its tilt.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import band_cosines
from evc_jax.features.f0_codes import DEFAULT_LOG_F0, MIN_VOICED_FRAMES, SEMITONES_PER_NEPER, log_f0_without_gaps
from evc_jax.features.time_warp import smooth

CEPSTRA = 13
TRACK_CHANNELS = 2 + CEPSTRA  # F0, voicing, cepstra
CHANGE_CHANNELS = 2 + CEPSTRA  # F0, cepstra, logarithm of the local duration
SUMMARY_CEPSTRA = 8
SUMMARY_CHANNELS = 2 + SUMMARY_CEPSTRA
# Frames this far below the loudest one are pauses.
ACTIVE_RANGE_DB = 30.0
# Who speaks louder does not make the room louder: frames so far below the loudest one are speech, and noise.
LEAST_SPEECH_DB, MOST_NOISE_DB = 35.0, 50.0
SMOOTHING_FRAMES = 11
# Typical sizes, to bring what the network reads to about 1.
_TYPICAL_SEMITONES, _TYPICAL_CEPSTRA_DB, _TYPICAL_LOUDNESS_DB = 4.0, 4.0, 15.0
_MIDDLE_VOICE, _VOICES_SEMITONES, _TYPICAL_DEVIATION = 88.0, 6.0, 3.0  # 88 semitones above 1 Hz are 161 Hz
_TYPICAL_VOICE_CEPSTRA_DB = 6.0


@dataclass(frozen=True, eq=False)
class Prosody:
    """Of a recording of T frames.

    Attributes:
      semitones: F0 in semitones above 1 Hz, interpolated where unvoiced.
      cepstra_db: cosines over the bands of the log-mel spectrum, at the recording's own level.
      loudness_db: of all bands together.
      voiced: where F0 was found.
      active: where there is speech; elsewhere are pauses.
    """

    semitones: Float[np.ndarray, " T"]
    cepstra_db: Float[np.ndarray, "T K"]
    loudness_db: Float[np.ndarray, " T"]
    voiced: Bool[np.ndarray, " T"]
    active: Bool[np.ndarray, " T"]


@dataclass(frozen=True, eq=False)
class ProsodyReference:
    """What a recording's track is relative to: the recording as a whole.

    Attributes:
      semitones, deviation: mean and standard deviation over voiced frames.
      cepstra_db: means over active frames.
      loudest_db: the 90th percentile of loudness.
    """

    semitones: float
    deviation: float
    cepstra_db: Float[np.ndarray, " K"]
    loudest_db: float


def measure(
    mel: Float[np.ndarray, "T F"], f0_hz: Float[np.ndarray, " T"], level_gain: float, config: AudioConfig
) -> Prosody:
    """The prosody of a recording; arguments are those of `extract.Features`."""
    mel_db = mel.astype(np.float64) * config.range_db - 20 * np.log10(max(level_gain, 1e-9))
    voiced = f0_hz > 0
    semitones = SEMITONES_PER_NEPER * log_f0_without_gaps(f0_hz, DEFAULT_LOG_F0[0])
    loudness_db = 10 * np.log10((10 ** (mel_db / 10)).sum(axis=1))
    active = loudness_db > loudness_db.max() - ACTIVE_RANGE_DB
    cepstra_db = mel_db @ _analysis(config.mel_bands)
    tracks = semitones.astype(np.float32), cepstra_db.astype(np.float32), loudness_db.astype(np.float32)
    return Prosody(*tracks, voiced, active)


def reference_of(prosody: Prosody) -> ProsodyReference:
    """The recording as a whole; without enough voiced frames its deviation of F0 is a typical one."""
    known = prosody.semitones[prosody.voiced].astype(np.float64)
    middle = float(known.mean()) if len(known) else DEFAULT_LOG_F0[0] * SEMITONES_PER_NEPER
    deviation = float(known.std()) if len(known) >= MIN_VOICED_FRAMES else _TYPICAL_DEVIATION
    cepstra_db = prosody.cepstra_db[prosody.active].mean(axis=0)
    return ProsodyReference(middle, deviation, cepstra_db, float(np.percentile(prosody.loudness_db, 90)))


def speech_share(prosody: Prosody, reference: ProsodyReference) -> Float[np.ndarray, "T 1"]:
    """How much each frame of a recording gets of a change of its speech: 1 in speech, 0 in pauses, smooth between."""
    above_noise_db = prosody.loudness_db - (reference.loudest_db - MOST_NOISE_DB)
    share = np.clip(above_noise_db / (MOST_NOISE_DB - LEAST_SPEECH_DB), 0, 1)
    return smooth(share[:, None], SMOOTHING_FRAMES)


def network_inputs(
    prosody: Prosody, reference: ProsodyReference
) -> tuple[Float[np.ndarray, "T I"], Float[np.ndarray, " S"]]:
    """What `models.prosody` reads: the track relative to the reference, and the reference; all about 1 in size."""
    melody = np.where(prosody.voiced, prosody.semitones - reference.semitones, 0) / _TYPICAL_SEMITONES
    loudness = (prosody.loudness_db - reference.loudest_db) / _TYPICAL_LOUDNESS_DB
    shape = (prosody.cepstra_db[:, 1:] - reference.cepstra_db[1:]) / _TYPICAL_CEPSTRA_DB
    track = np.column_stack([melody, prosody.voiced, loudness, shape]).astype(np.float32)
    height = (reference.semitones - _MIDDLE_VOICE) / _VOICES_SEMITONES
    spread = (reference.deviation - _TYPICAL_DEVIATION) / 2
    voice = reference.cepstra_db[1 : 1 + SUMMARY_CEPSTRA] / _TYPICAL_VOICE_CEPSTRA_DB
    return track, np.concatenate([[height, spread], voice]).astype(np.float32)


def filter_of(cepstra_db: Float[np.ndarray, "T K"], bands: int) -> Float[np.ndarray, "T F"]:
    """The change in decibels of each mel band that a change of the cepstra is."""
    return (cepstra_db @ band_cosines(CEPSTRA, bands)).astype(np.float32)


@functools.cache
def _analysis(bands: int) -> Float[np.ndarray, "F K"]:
    """The inverse of `band_cosines`, by projection."""
    return (band_cosines(CEPSTRA, bands) * np.where(np.arange(CEPSTRA) == 0, 1, 2)[:, None] / bands).T
