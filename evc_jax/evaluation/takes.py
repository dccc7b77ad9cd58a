"""Distances from a recording to another take of the same sentence, after dynamic time warping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.features import dtw
from evc_jax.features.f0_codes import MIN_VOICED_FRAMES

CEPSTRA = 13
# Frames are speech down to this far below the level that one in twenty passes; a pop does not count.
LOUD_PERCENTILE = 95
SPEECH_RANGE_DB = 35.0


@dataclass(frozen=True)
class TakeDistance:
    """How far two takes of a sentence are apart; NaN where too few frames can be compared.

    Attributes:
      f0_semitones: mean absolute difference of log-F0 over aligned frames that are voiced in both.
      energy_db: mean absolute difference of the levels of aligned frames of speech, relative to the loud frames.
      length: absolute logarithm of the ratio of durations; 0.1 is 10 %.
      mel_cepstral_db: mel-cepstral distortion of aligned frames of speech.
    """

    f0_semitones: float
    energy_db: float
    length: float
    mel_cepstral_db: float


def take_distance(
    mel: Float[np.ndarray, "Ta F"],
    f0_hz: Float[np.ndarray, " Ta"],
    other_mel: Float[np.ndarray, "Tb F"],
    other_f0_hz: Float[np.ndarray, " Tb"],
    config: AudioConfig,
) -> TakeDistance:
    """Compares two recordings of one sentence by their log-mels and F0 (0 where unvoiced)."""
    from scipy import fft

    rows, columns = dtw.find_path(mel, other_mel)
    a_hz, b_hz = f0_hz[rows], other_f0_hz[columns]
    both = (a_hz > 0) & (b_hz > 0)
    f0_semitones = float("nan")
    if both.sum() >= MIN_VOICED_FRAMES:
        f0_semitones = float(12 * np.abs(np.log2(a_hz[both] / b_hz[both])).mean())
    a_db, b_db = (_level_db(x, config) for x in (mel, other_mel))
    speech = (a_db[rows] > -SPEECH_RANGE_DB) & (b_db[columns] > -SPEECH_RANGE_DB)
    # Cepstra of the natural logarithm of the bands' amplitudes, without the level.
    cepstra = [
        fft.dct(x * config.range_db / 20 * np.log(10), norm="ortho")[:, 1 : CEPSTRA + 1] / np.sqrt(x.shape[1] / 2)
        for x in (mel, other_mel)
    ]
    difference = cepstra[0][rows] - cepstra[1][columns]
    distortion_db = 10 / np.log(10) * np.sqrt(2 * np.square(difference).sum(axis=1))
    return TakeDistance(
        f0_semitones,
        _mean(np.abs(a_db[rows] - b_db[columns])[speech]),
        float(abs(np.log(speech_frames(mel, config) / speech_frames(other_mel, config)))),
        _mean(distortion_db[speech]),
    )


def speech_frames(mel: Float[np.ndarray, "T F"], config: AudioConfig) -> int:
    """Frames from the first to the last one of speech."""
    active = np.flatnonzero(_level_db(mel, config) > -SPEECH_RANGE_DB)
    return int(active[-1] - active[0] + 1)


def _level_db(mel: np.ndarray, config: AudioConfig) -> np.ndarray:
    """Level of each frame relative to the loud ones."""
    level_db = 10 * np.log10((10 ** (config.range_db * mel / 10)).sum(axis=1))
    return level_db - np.percentile(level_db, LOUD_PERCENTILE)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
