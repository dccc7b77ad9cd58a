"""What a control moves besides its own measure: seven measures of a recording, and their changes in units of controls.

Every measure is compared between two recordings of which one is made with one more control. F0 and the tilt are those
of frames that are voiced in both: where a creak is found in one of them only, it would count as melody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.loudness import active_level_dbfs
from evc_jax.audio.mel import highpass
from evc_jax.evaluation.bootstrap import NAN, Estimate
from evc_jax.evaluation.metrics import cosine
from evc_jax.features import speaker
from evc_jax.features.extract import analyse
from evc_jax.features.f0_codes import MIN_VOICED_FRAMES

# In the order of the columns.
MEASURES = {
    "f0": "F0 median",
    "range": "F0 deviation",
    "duration": "duration",
    "level": "active level",
    "tilt": "spectral tilt",
    "voice": "closeness to the other voice",
    "emotion": "certainty of the emotion",
}
RECOGNISED = ("voice", "emotion")  # by networks and classifiers, which read melody and tilt themselves
BOUND = 0.15  # of what a control moves of others' measures, in units of their full settings
TILT_RANGE_HZ = (300.0, 5000.0)
# Voiced frames this far below the loudest one have more noise than voice in their spectrum.
TILT_RANGE_DB = 25.0


@dataclass(frozen=True, eq=False)
class Measured:
    """What is compared of a recording.

    Attributes:
      samples: its length.
      level_dbfs: of its speech.
      f0_hz: 0 where unvoiced.
      tilt_db: slope of each frame's envelope in dB per octave, NaN where unvoiced or quiet.
      embedding: of its voice, at one level.
      certainty: of the emotion in question, from 0 to 1; NaN where there is none.
    """

    samples: int
    level_dbfs: float
    f0_hz: Float[np.ndarray, " T"]
    tilt_db: Float[np.ndarray, " T"]
    embedding: Float[np.ndarray, " E"]
    certainty: float = NAN


def measure(audio: Float[np.ndarray, " S"], config: AudioConfig) -> tuple[Measured, Float[np.ndarray, " S"]]:
    """Measures of a recording at the config's rate, and its samples at the config's level."""
    level_dbfs = active_level_dbfs(highpass(audio, config), config)
    analysis = analyse(audio, config.sample_rate_hz, config)
    tilt_db = envelope_tilt_db(analysis.audio, analysis.f0_hz, config)
    embedding = speaker.embed(analysis.audio)
    return Measured(len(audio), level_dbfs, analysis.f0_hz, tilt_db, embedding), analysis.audio


def envelope_tilt_db(
    audio: Float[np.ndarray, " S"], f0_hz: Float[np.ndarray, " T"], config: AudioConfig
) -> Float[np.ndarray, " T"]:
    """The slope of the envelope over the logarithm of frequency, by least squares, in dB per octave.

    The envelope is that of CheapTrick (Morise 2015), which is made to not depend on F0: a band between harmonics or a
    ratio of bands moves with them.
    """
    import pyworld

    slopes, voiced = np.full(len(f0_hz), np.nan), np.flatnonzero(f0_hz)
    if not len(voiced):
        return slopes
    times_s = voiced * config.hop_samples / config.sample_rate_hz
    size = pyworld.get_cheaptrick_fft_size(config.sample_rate_hz, 60.0)
    spectra = pyworld.cheaptrick(
        audio.astype(np.float64), f0_hz[voiced].astype(np.float64), times_s, config.sample_rate_hz, fft_size=size
    )
    loudness_db = 10 * np.log10(spectra.sum(axis=1))
    loud = loudness_db > loudness_db.max() - TILT_RANGE_DB
    hz = np.arange(1, spectra.shape[1]) * config.sample_rate_hz / size
    # Points at equal distances on the logarithmic axis count alike.
    lowest, highest = np.log2(TILT_RANGE_HZ)
    octaves = np.linspace(lowest, highest, 80)
    shape_db = np.stack([np.interp(octaves, np.log2(hz), row) for row in 10 * np.log10(spectra[loud, 1:])])
    centred = octaves - octaves.mean()
    slopes[voiced[loud]] = shape_db @ centred / (centred @ centred)
    return slopes


def compare(before: Measured, after: Measured, voice: Float[np.ndarray, " E"]) -> dict[str, float]:
    """The change of each of `MEASURES`.

    F0 in semitones, the deviation of log F0 from its mean and the duration as natural logarithms of ratios, level in
    dB, tilt in dB per octave, closeness as a cosine.

    Args:
      before, after: two recordings of one source; their clocks differ by a factor.
      voice: the other voice, to which the second may be closer.
    """
    frames = np.arange(len(after.f0_hz))
    scaled = np.rint(frames * before.samples / after.samples).astype(int)
    there = np.minimum(scaled, len(before.f0_hz) - 1)
    both = (before.f0_hz[there] > 0) & (after.f0_hz > 0)
    f0, deviation = NAN, NAN
    if both.sum() >= MIN_VOICED_FRAMES:
        logs = [np.log2(each[both].astype(np.float64)) for each in (before.f0_hz[there], after.f0_hz)]
        f0 = 12 * float(np.median(logs[1]) - np.median(logs[0]))
        deviation = _log_ratio(logs[1].std(), logs[0].std())
    tilts = after.tilt_db - before.tilt_db[there]
    values = (
        f0,
        deviation,
        _log_ratio(after.samples, before.samples),
        after.level_dbfs - before.level_dbfs,
        float(np.nanmean(tilts)) if np.isfinite(tilts).any() else NAN,
        cosine(voice, after.embedding) - cosine(voice, before.embedding),
        after.certainty - before.certainty,
    )
    return dict(zip(MEASURES, values, strict=True))


def largest_unwanted(
    rows: Mapping[str, tuple[str, Sequence[Estimate]]], judged: Sequence[str], measures: Collection[str]
) -> tuple[str, str, float] | None:
    """The largest change of a measure that a control should leave alone.

    Args:
      rows: by control, its own measure and the estimates of all `MEASURES` in units.
      judged: the controls that count; the others are meant to move every measure.
      measures: those of `MEASURES` that count.

    Returns:
      the control, the measure and its change; None where nothing is judged.
    """
    found = [
        (name, column, cell.mean)
        for name, (own, cells) in rows.items()
        if name in judged
        for column, cell in zip(MEASURES, cells, strict=True)
        if column in measures and column != own and np.isfinite(cell.mean)
    ]
    return max(found, key=lambda each: abs(each[2]), default=None)


def _log_ratio(after: float, before: float) -> float:
    return float(np.log(after / before)) if after > 0 and before > 0 else NAN
