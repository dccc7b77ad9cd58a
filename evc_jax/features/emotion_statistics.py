"""How a recording is spoken, as one vector: statistics of its prosody, and its voice embedding.

They are those of `emotion_classifier`. NOTE: the evaluation's functionals are others, so that its judge is independent.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from evc_jax.audio.config import AudioConfig
from evc_jax.errors import AudioError
from evc_jax.features import EMBEDDING_DIM
from evc_jax.features.f0_codes import SEMITONES_PER_NEPER
from evc_jax.features.prosody import CEPSTRA, Prosody, measure
from evc_jax.features.register import Register

# Voiced frames; 0.3 s at 16 ms a frame.
MIN_VOICED_FRAMES = 20
# Of F0. Steadier than that is a tone or a hum.
MIN_DEVIATION_SEMITONES = 0.3
_PEAK_RANGE_DB = 25.0
_SMALL_SEMITONES, _SMALL_DB = 0.3, 0.1

Vector = Float[np.ndarray, " D"]


def statistics(
    mel: Float[np.ndarray, "T F"],
    f0_hz: Float[np.ndarray, " T"],
    embedding: Float[np.ndarray, " 256"],
    register: Register,
    config: AudioConfig,
) -> Float[np.ndarray, " D"]:
    """F0, spectral shape and its changes, dynamics and rate of a recording, then its embedding.

    Mean and deviation of F0 are relative to those that the voice predicts. The recording's level is not among them, as
    it is the microphone's.

    Args:
      mel, f0_hz, embedding: those of `extract.Features`.
      register: how high voices speak.
      config: of the features.

    Raises:
      AudioError: there is no speech, or less than `MIN_VOICED_FRAMES` of voiced frames.
    """
    prosody, frame_s = measure(mel, f0_hz, 1.0, config), config.hop_samples / config.sample_rate_hz
    voiced = prosody.voiced & prosody.active
    semitones = prosody.semitones[voiced].astype(np.float64)
    if len(semitones) < MIN_VOICED_FRAMES:
        raise AudioError(
            f"it has {len(semitones) * frame_s:.2f} s of voiced speech and an emotion needs "
            f"{MIN_VOICED_FRAMES * frame_s:.2f} s; give a recording of a sentence."
        )
    if semitones.std() < MIN_DEVIATION_SEMITONES:
        raise AudioError("it holds a steady tone instead of speech; give a recording of a sentence.")
    spoken = np.flatnonzero(prosody.active)
    inside = slice(spoken[0], spoken[-1] + 1)
    expected = register.predict(embedding)
    melody = _melody(prosody, voiced, frame_s)
    melody[:2] -= SEMITONES_PER_NEPER * expected.mean, np.log(SEMITONES_PER_NEPER * expected.std)
    parts = (
        melody,
        _shape(prosody, voiced, inside),
        _dynamics(prosody, voiced, frame_s),
        _rate(prosody, voiced, inside, frame_s),
        embedding.astype(np.float64),
    )
    return np.concatenate(parts)


def _melody(prosody: Prosody, voiced: Bool[np.ndarray, " T"], frame_s: float) -> Vector:
    semitones = prosody.semitones[voiced].astype(np.float64)
    mean, deviation = semitones.mean(), max(semitones.std(), _SMALL_SEMITONES)
    steps = np.diff(prosody.semitones.astype(np.float64))[voiced[1:] & voiced[:-1]] / frame_s
    rising, falling = steps[steps > 0], -steps[steps < 0]
    slopes = [np.log1p(each.mean()) if len(each) else 0.0 for each in (np.abs(steps), rising, falling)]
    times_s = np.flatnonzero(voiced) * frame_s
    times_s -= times_s.mean()
    sixth = max(1, len(semitones) // 6)
    return np.array(
        [
            mean,
            np.log(deviation),
            *(np.percentile(semitones, (5, 20, 80, 95)) - mean),
            *slopes,
            times_s @ (semitones - mean) / (times_s @ times_s + 0.05),
            semitones[:sixth].mean() - mean,
            semitones[-sixth:].mean() - mean,
            np.mean((semitones - mean) ** 3) / deviation**3,
        ]
    )


def _shape(prosody: Prosody, voiced: Bool[np.ndarray, " T"], inside: slice) -> Vector:
    """Means of the voiced cepstra, and how much all cepstra vary over the recording and from frame to frame."""
    cepstra_db = prosody.cepstra_db.astype(np.float64)
    deviations = np.log(cepstra_db[voiced].std(axis=0) + _SMALL_DB)
    steps = np.log(np.abs(np.diff(cepstra_db[inside], axis=0)).mean(axis=0) + _SMALL_DB)
    return np.concatenate([cepstra_db[voiced, 1:].mean(axis=0), deviations, steps])


def _dynamics(prosody: Prosody, voiced: Bool[np.ndarray, " T"], frame_s: float) -> Vector:
    """The spread and the slope of loudness, and what else loud voiced frames have more of than soft ones."""
    loudness_db = prosody.loudness_db.astype(np.float64)
    spoken = loudness_db[prosody.active]
    low, middle, high = np.percentile(spoken, (10, 50, 90))
    unvoiced = loudness_db[prosody.active & ~prosody.voiced]
    times_s = (np.arange(len(spoken)) - (len(spoken) - 1) / 2) * frame_s
    loud = loudness_db[voiced] > np.median(loudness_db[voiced])
    tilt_db = np.zeros(3)
    if loud.any() and not loud.all():
        cepstra_db = prosody.cepstra_db[voiced, 1:4].astype(np.float64)
        tilt_db = cepstra_db[loud].mean(axis=0) - cepstra_db[~loud].mean(axis=0)
    both = np.stack([prosody.semitones[voiced], loudness_db[voiced]])
    agreement = np.corrcoef(both)[0, 1] if (both.std(axis=1) > _SMALL_DB).all() else 0.0
    above_unvoiced = loudness_db[voiced].mean() - unvoiced.mean() if len(unvoiced) else 8.0
    slope = times_s @ (spoken - spoken.mean()) / (times_s @ times_s + 1e-9)
    return np.array([high - middle, middle - low, spoken.std(), above_unvoiced, slope, *tilt_db, agreement])


def _rate(prosody: Prosody, voiced: Bool[np.ndarray, " T"], inside: slice, frame_s: float) -> Vector:
    """Voiced segments and peaks of loudness per second, lengths of segments, shares of voiced frames and of pauses."""
    edges = np.diff(np.concatenate([[False], voiced, [False]]).astype(int))
    lengths_s = (np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)) * frame_s
    span_s = (inside.stop - inside.start) * frame_s
    window = np.hanning(7) / np.hanning(7).sum()
    loudness_db = np.convolve(prosody.loudness_db[inside], window, "same")
    middle = loudness_db[1:-1]
    peaks = (middle > loudness_db[:-2]) & (middle >= loudness_db[2:])
    peaks &= middle > prosody.loudness_db.max() - _PEAK_RANGE_DB
    return np.array(
        [
            np.log(len(lengths_s) / span_s),
            np.log(lengths_s.mean()),
            np.log(lengths_s.max()),
            np.log((peaks.sum() + 0.5) / span_s),
            voiced[inside].mean(),
            prosody.active[inside].mean(),
        ]
    )


STATISTICS = 13 + (3 * CEPSTRA - 1) + 9 + 6 + EMBEDDING_DIM
