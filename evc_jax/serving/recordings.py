"""Uploaded bytes to samples and samples to bytes, in memory only, whatever sizes their headers declare."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Literal

import numpy as np
from jaxtyping import Float

from evc_jax.audio.formats import OUTPUT_FORMATS
from evc_jax.audio.io import AudioReader, sound_bytes, to_mono
from evc_jax.errors import AudioError
from evc_jax.files import RECORDING_KINDS

MIN_RATE_HZ, MAX_RATE_HZ = 1000, 192_000
Container = Literal["wav", "flac", "mp3", "ogg", "opus"]
MEDIA_TYPES: dict[Container, str] = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg; codecs=opus",
}
# Memory is bounded to that of so many channels of the longest recording at the highest rate.
MAX_CHANNELS_IN_MEMORY = 2


class TooLongError(AudioError):
    """A recording that lasts longer than the server allows."""


def decode(data: bytes, sample_rate_hz: int, max_seconds: float) -> Float[np.ndarray, " S"]:
    """Reads a recording of any format that `io.load` knows; the samples are the same.

    Memory stays within that of `max_seconds` of stereo: no size that a header declares is allocated. FFmpeg's process
    beside it (`audio.containers`) is limited to 1 GB.

    Raises:
      TooLongError: it lasts longer than `max_seconds`.
      AudioError: it is no recording, too short, or holds NaN or infinite samples.
    """
    try:
        whole = AudioReader(io.BytesIO(data)).read(max_seconds, MAX_CHANNELS_IN_MEMORY * max_seconds * MAX_RATE_HZ)
    except OverflowError as error:
        raise AudioError(f"the upload cannot be read as audio; send a {RECORDING_KINDS} recording.") from error
    if whole is None:
        raise TooLongError(
            f"the recording lasts longer than {max_seconds:g} s, or has many channels; send less at a time."
        )
    samples, rate_hz = whole
    if len(samples) and not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        bounds = f"{MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
        raise AudioError(f"the sample rate is {rate_hz} Hz; send a recording of {bounds}.")
    return to_mono(samples, rate_hz, sample_rate_hz)


def encode(audio: Float[np.ndarray, " S"], rate_hz: int, container: Container, comment: str = "") -> bytes:
    """The bytes that `io.save` writes into a file of this format; peaks above 1 are scaled down."""
    return sound_bytes(audio, rate_hz, OUTPUT_FORMATS[f".{container}"], comment)


@contextlib.contextmanager
def naming_field(field: str) -> Iterator[None]:
    """Puts the field's name before the message of an error of its recording."""
    try:
        yield
    except AudioError as error:
        raise type(error)(f"{field}: {error}") from error
