"""Samples in memory, as callers give them: what they must be, and bringing them to one form."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.errors import AudioError, one_line

MIN_DURATION_S = 0.1
MAX_CHANNELS = 64


def samples_of(audio: Any) -> np.ndarray:
    """What a caller gives as samples as an array; raises AudioError where it cannot be samples."""
    if isinstance(audio, str | os.PathLike | bytes | io.IOBase) or audio is None:
        kind = type(audio).__name__
        raise AudioError(f"the audio is a {kind}, expected an array of samples; convert_file takes the name of a file.")
    try:
        array = np.asarray(audio)
    except (TypeError, ValueError) as error:  # rows of different lengths
        raise AudioError(f"the audio is no array of samples ({one_line(error)}); give [samples].") from error
    if array.dtype.kind not in "fiu":
        raise AudioError(f"the samples are of type {array.dtype}; expected floating point or integers.")
    if array.dtype.kind in "iu" and array.dtype.itemsize > 4:
        raise AudioError(f"the samples are {array.dtype}, of which full scale is unknown; give int16, int32 or float.")
    check_shape(array)
    return array


def check_shape(audio: np.ndarray) -> None:
    """Raises AudioError unless the audio is [samples] or [samples, channels]."""
    if audio.ndim == 2 and audio.shape[0] <= MAX_CHANNELS < audio.shape[1]:
        raise AudioError(f"the audio has shape {audio.shape}, channels first; give [samples, channels], as audio.T is.")
    if audio.ndim not in (1, 2) or (audio.ndim == 2 and not 1 <= audio.shape[1] <= MAX_CHANNELS):
        raise AudioError(f"the audio has shape {audio.shape}; expected [samples] or [samples, channels].")


def check_rate(rate_hz: Any) -> None:
    """Raises AudioError for a rate that is none."""
    is_number = isinstance(rate_hz, int | float | np.number) and not isinstance(rate_hz, bool)
    if not (is_number and 0 < rate_hz < np.inf and int(rate_hz) == rate_hz):
        raise AudioError(f"the sample rate is {rate_hz!r:.40}; expected a positive number of samples a second.")


def check_duration(samples: int, rate_hz: int) -> None:
    """Raises AudioError for fewer than `MIN_DURATION_S` seconds."""
    if samples < MIN_DURATION_S * rate_hz:
        raise AudioError(f"the recording lasts {samples / rate_hz:.3f} s; give one of at least {MIN_DURATION_S} s.")


def mix(audio: np.ndarray, channel: int | None = None) -> Float[np.ndarray, " S"]:
    """Mono of floating-point samples [S] or [S, channels]: their mean, or the channel that stands for the whole."""
    if audio.ndim == 1:
        return audio
    return audio.mean(axis=1) if channel is None else audio[:, channel]


def as_finite_float(audio: np.ndarray) -> np.ndarray:
    """The samples in floating point, with a full scale of 1.

    Raises:
      AudioError: another type, NaN or infinite samples.
    """
    if np.issubdtype(audio.dtype, np.floating):
        if not np.isfinite(audio).all():
            raise AudioError("the recording holds NaN or infinite samples; export it again.")
        return audio
    if not np.issubdtype(audio.dtype, np.integer):
        raise AudioError(f"the samples are of type {audio.dtype}; expected floating point or integers.")
    info = np.iinfo(audio.dtype)
    middle = (int(info.max) + int(info.min) + 1) // 2
    return (audio.astype(np.float64) - middle) / (int(info.max) - middle + 1)
