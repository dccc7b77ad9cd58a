"""Fundamental frequency: estimation by WORLD, normalisation over a speaker, quantisation into classes.

Source: SpeechSplit (arXiv 2004.11284), whose tracker is RAPT with one range per sex. NOTE: here the range comes from
the recording itself, so that nobody has to know the sex. WORLD: Morise et al. 2016, LoveTrain: Morise 2016 (D4C).
"""

from __future__ import annotations

import functools
import importlib.metadata
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from evc_jax import audio as audio_lib
from evc_jax.audio import AudioConfig

F0_FLOOR_HZ = 50.0
F0_CEILING_HZ = 600.0
LOWEST_FLOOR_HZ = 40.0
RANGE_FACTORS = (0.75, 1.75)
STEPS_PER_FRAME = 4
LOVE_TRAIN_THRESHOLD = 0.85
VOICED_RANGE_DB = 35.0
MIN_VOICED_FRAMES = 10
# A deviation of log-F0 below a quarter of a semitone is a hum or a guess, not a speaker's habit.
MIN_LOG_F0_STD = 0.015
DEFAULT_LOG_F0 = (float(np.log(160.0)), 0.25)
F0_CLASSES = 257
SMALLEST_VOICED = 1e-6


def estimate_f0(audio: Float[np.ndarray, " S"], config: AudioConfig, seed: int = 0) -> Float[np.ndarray, " T"]:
    """Fundamental frequency at the spectrogram's frames.

    A first pass over a wide range finds the speaker's register; the second one looks only around its quartiles.

    Args:
      audio: samples at `config.sample_rate_hz`.
      config: rate and frames.
      seed: of the dither.

    Returns:
      float32 Hz, T = S // hop + 1; 0 where the frame is unvoiced.
    """
    frames = audio_lib.frames_of(len(audio), config)
    samples = np.ascontiguousarray(audio_lib.condition(audio, config, seed), dtype=np.float64)
    f0_hz, times_s = _track(samples, config)
    f0_hz, times_s = (_at_frames(track, frames) for track in (f0_hz, times_s))
    voiced = _periodic(samples, f0_hz, times_s, config) & _loud(samples, config)
    return np.where(voiced, f0_hz, 0).astype(np.float32)


def _track(samples: np.ndarray, config: AudioConfig) -> tuple[np.ndarray, np.ndarray]:
    """DIO in two passes, refined by StoneMask, `STEPS_PER_FRAME` times a frame: Hz and seconds."""
    world = _world()
    period_ms = 1000 * config.hop_samples / config.sample_rate_hz / STEPS_PER_FRAME
    find = functools.partial(world.dio, samples, config.sample_rate_hz, frame_period=period_ms)
    f0_hz, times_s = find(f0_floor=F0_FLOOR_HZ, f0_ceil=F0_CEILING_HZ)
    found_hz = f0_hz[f0_hz > 0]
    if len(found_hz) >= MIN_VOICED_FRAMES:
        low_hz, high_hz = np.percentile(found_hz, [25, 75]) * RANGE_FACTORS
        f0_hz, times_s = find(f0_floor=max(low_hz, LOWEST_FLOOR_HZ), f0_ceil=high_hz)
    return world.stonemask(samples, f0_hz, times_s, config.sample_rate_hz), times_s


def _at_frames(track: np.ndarray, frames: int) -> np.ndarray:
    """Every fourth value; the last one again where WORLD ends a frame early."""
    kept = track[::STEPS_PER_FRAME][:frames]
    return np.ascontiguousarray(np.pad(kept, (0, frames - len(kept)), mode="edge"))


def _periodic(samples: np.ndarray, f0_hz: np.ndarray, times_s: np.ndarray, config: AudioConfig) -> np.ndarray:
    """Frames that D4C's LoveTrain does not call aperiodic; bool [T]."""
    if not f0_hz.any():
        return np.zeros(len(f0_hz), bool)
    aperiodicity = _world().d4c(samples, f0_hz, times_s, config.sample_rate_hz, threshold=LOVE_TRAIN_THRESHOLD)
    return aperiodicity.min(axis=1) < 1 - 1e-6


def _loud(samples: np.ndarray, config: AudioConfig) -> np.ndarray:
    """Frames within `VOICED_RANGE_DB` of the loudest one; bool [T]."""
    frames = audio_lib.frame(samples, config.window_samples, config.hop_samples)
    powers = np.einsum("ts,ts->t", frames, frames)
    return powers > powers.max() * 10 ** (-VOICED_RANGE_DB / 10)


@functools.cache
def _world() -> types.ModuleType:
    """pyworld, whose release 0.3.5 asks `pkg_resources` for its own version, which newer setuptools lack."""
    try:
        import pyworld
    except ModuleNotFoundError as error:
        if error.name != "pkg_resources":
            raise
        stand_in = types.ModuleType("pkg_resources")
        stand_in.get_distribution = importlib.metadata.distribution
        sys.modules["pkg_resources"] = stand_in
        try:
            import pyworld
        finally:
            del sys.modules["pkg_resources"]
    return pyworld


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
    log_f0 = np.log(f0_hz[f0_hz > 0].astype(np.float64))
    default_mean, default_std = DEFAULT_LOG_F0
    mean = float(log_f0.mean()) if len(log_f0) else default_mean
    std = float(log_f0.std()) if len(log_f0) >= MIN_VOICED_FRAMES else default_std
    return LogF0Statistics(mean, max(std, MIN_LOG_F0_STD))


def pool(tracks: Sequence[np.ndarray]) -> LogF0Statistics:
    """Statistics over all utterances of a speaker; each track is F0 in Hz, [T] of any length."""
    return log_f0_statistics(np.concatenate([np.zeros(0, np.float32), *tracks]))


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


def quantize_f0(normalized: Float[np.ndarray, "*shape"], classes: int = F0_CLASSES) -> Int[np.ndarray, "*shape"]:
    """Classes of normalised F0: 0 is unvoiced, else round(x * (classes - 2)) + 1; int32.

    Works on NumPy and JAX arrays alike, also inside `jax.jit`.
    """
    namespace = normalized.__array_namespace__()
    voiced = normalized > 0
    levels = namespace.clip(normalized, 0, 1) * (classes - 2)
    return namespace.where(voiced, namespace.round(levels) + 1, 0).astype(namespace.int32)
