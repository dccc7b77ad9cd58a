"""Distances between recordings: mel-spectrogram, F0, voice, timing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import frame_count, log_mel
from evc_jax.features import dtw
from evc_jax.features.f0_codes import MIN_VOICED_FRAMES

Record = Mapping[str, Any]  # one utterance of a prepared dataset, see `data.dataset.SplitSource`


def mel_l1(reference: Float[np.ndarray, " Sa"], other: Float[np.ndarray, " Sb"], config: AudioConfig) -> float:
    """Mean absolute difference of the clipped log-mels; 0.01 is 1 dB. The longer one is cut.

    Recordings are compared as they are: match their levels first where the level is not the question.
    """
    frames = min(frame_count(len(reference), config), frame_count(len(other), config))
    mels = [np.clip(log_mel(x, config)[:frames], 0, 1) for x in (reference, other)]
    return float(np.abs(mels[0] - mels[1]).mean())


@dataclass(frozen=True)
class F0Summary:
    """An F0 contour in three numbers; NaN where nothing is voiced.

    Attributes:
      median_hz: middle of the voiced frames.
      range_semitones: from the 10th to the 90th percentile of the voiced frames.
      voiced_fraction: voiced frames of all frames.
    """

    median_hz: float
    range_semitones: float
    voiced_fraction: float

    def __str__(self) -> str:
        if self.voiced_fraction == 0:
            return "no melody"
        return f"F0 {self.median_hz:.0f} Hz, range {self.range_semitones:.1f} semitones"


def f0_summary(f0_hz: Float[np.ndarray, " T"]) -> F0Summary:
    """Summary of a contour in which 0 means unvoiced."""
    voiced = f0_hz[f0_hz > 0]
    if not len(voiced):
        return F0Summary(float("nan"), float("nan"), 0.0)
    low, middle, high = np.percentile(voiced, (10, 50, 90))
    return F0Summary(float(middle), float(12 * np.log2(high / low)), len(voiced) / len(f0_hz))


def cosine(a: Float[np.ndarray, " C"], b: Float[np.ndarray, " C"]) -> float:
    """Cosine of the angle between two speaker embeddings."""
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


def f0_correlation(
    reference_mel: Float[np.ndarray, "Ta F"],
    reference_hz: Float[np.ndarray, " Ta"],
    other_mel: Float[np.ndarray, "Tb F"],
    other_hz: Float[np.ndarray, " Tb"],
) -> float:
    """Correlation of log-F0 between recordings of one sentence, over aligned frames that are voiced in both.

    The alignment is that of the mel-spectrograms. NaN with fewer than `MIN_VOICED_FRAMES` such frames, or where a
    contour is flat.
    """
    rows, columns = dtw.find_path(reference_mel, other_mel)
    a, b = reference_hz[rows], other_hz[columns]
    both = (a > 0) & (b > 0)
    if both.sum() < MIN_VOICED_FRAMES:
        return float("nan")
    a, b = np.log(a[both].astype(np.float64)), np.log(b[both].astype(np.float64))
    spread = a.std() * b.std()
    return float(np.mean((a - a.mean()) * (b - b.mean())) / spread) if spread > 1e-9 else float("nan")


def timing_distance_s(
    reference_mel: Float[np.ndarray, "Ta F"], other_mel: Float[np.ndarray, "Tb F"], config: AudioConfig
) -> float:
    """Mean difference in time between aligned frames of two recordings of one sentence."""
    rows, columns = dtw.find_path(reference_mel, other_mel)
    return float(np.abs(rows - columns).mean()) * config.hop_samples / config.sample_rate_hz
