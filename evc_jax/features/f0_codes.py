"""F0 for the networks: normalized over a speaker and quantized into classes.

Source: SpeechSplit (arXiv 2004.11284).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

MIN_VOICED_FRAMES = 10
# A deviation of log-F0 below a quarter of a semitone is a hum or a guess, not a speaker's habit.
MIN_LOG_F0_STD = 0.015
DEFAULT_LOG_F0 = (float(np.log(160.0)), 0.25)
F0_CLASSES = 257
SMALLEST_VOICED = 1e-6
SEMITONES_PER_NEPER = 12 / np.log(2)  # of a difference of natural logarithms of F0


@dataclass(frozen=True)
class LogF0Statistics:
    """Mean and standard deviation of the natural logarithm of a speaker's F0 in Hz, over voiced frames."""

    mean: float
    std: float


def log_f0_statistics(f0_hz: Float[np.ndarray, " T"]) -> LogF0Statistics:
    """Statistics of the voiced frames of one or more concatenated utterances.

    The deviation is at least `MIN_LOG_F0_STD`; with fewer than `MIN_VOICED_FRAMES` voiced frames the deviation is a
    typical one, and without any the mean is, too.
    """
    default_mean, default_std = DEFAULT_LOG_F0
    log_f0 = np.log(f0_hz[f0_hz > 0].astype(np.float64))
    mean = float(log_f0.mean()) if len(log_f0) else default_mean
    std = float(log_f0.std()) if len(log_f0) >= MIN_VOICED_FRAMES else default_std
    return LogF0Statistics(mean, max(std, MIN_LOG_F0_STD))


def log_f0_without_gaps(f0_hz: Float[np.ndarray, " T"], default: float) -> Float[np.ndarray, " T"]:
    """The natural logarithm of F0, interpolated where it is unvoiced, and `default` where all of it is; float64."""
    voiced = np.flatnonzero(f0_hz)
    if not len(voiced):
        return np.full(len(f0_hz), default)
    return np.interp(np.arange(len(f0_hz)), voiced, np.log(f0_hz[voiced].astype(np.float64)))


def normalize_f0(f0_hz: Float[np.ndarray, " T"], statistics: LogF0Statistics) -> Float[np.ndarray, " T"]:
    """Maps log-F0 to [0, 1]: mean to 0.5, four deviations to the ends; unvoiced stays exactly 0.

    Voiced frames are at least `SMALLEST_VOICED`, so that what is voiced stays so.
    """
    voiced = f0_hz > 0
    log_f0 = np.log(np.where(voiced, f0_hz, 1.0))
    scaled = np.clip((log_f0 - statistics.mean) / statistics.std / 4, -1, 1)
    return np.where(voiced, np.maximum((scaled + 1) / 2, SMALLEST_VOICED), 0).astype(np.float32)


def denormalize_f0(normalized: Float[np.ndarray, " T"], statistics: LogF0Statistics) -> Float[np.ndarray, " T"]:
    """Inverse of `normalize_f0` up to its clipping: Hz, 0 where unvoiced."""
    log_f0 = (normalized.astype(np.float64) * 2 - 1) * 4 * statistics.std + statistics.mean
    return np.where(normalized > 0, np.exp(log_f0), 0).astype(np.float32)


def quantize_f0(normalized: Float[Any, "*shape"], classes: int = F0_CLASSES) -> Int[Any, "*shape"]:
    """Classes of normalized F0: 0 is unvoiced, else round(x * (classes - 2)) + 1; int32.

    Works on NumPy and JAX arrays alike, also inside `jax.jit`.
    """
    namespace = normalized.__array_namespace__()
    voiced = normalized > 0
    levels = namespace.clip(normalized, 0, 1) * (classes - 2)
    return namespace.where(voiced, namespace.round(levels) + 1, 0).astype(namespace.int32)
