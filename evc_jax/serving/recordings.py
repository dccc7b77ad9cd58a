"""Uploaded bytes to samples and samples to bytes, in memory only, whatever sizes their headers declare."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from jaxtyping import Float

from evc_jax.audio.decoding import read_blocks
from evc_jax.audio.io import check_shape, to_mono, write_blocks
from evc_jax.errors import AudioError

MIN_RATE_HZ, MAX_RATE_HZ = 1000, 192_000
Container = Literal["wav", "flac"]
# Memory is bounded to that of so many channels of the longest recording at the highest rate.
MAX_CHANNELS_IN_MEMORY = 2


class TooLongError(AudioError):
    """A recording that lasts longer than the server allows."""


def decode(data: bytes, sample_rate_hz: int, max_seconds: float) -> Float[np.ndarray, " S"]:
    """Reads a recording of any format that libsndfile knows; the samples are those of `io.load`.

    Memory stays within that of `max_seconds` of stereo: no size that a header declares is allocated.

    Args:
      data: the file's bytes.
      sample_rate_hz: the wanted rate.
      max_seconds: longest duration.

    Raises:
      TooLongError: it lasts longer.
      AudioError: it is no recording, too short, or holds NaN or infinite samples.
    """
    if not data:
        raise AudioError("the upload is empty; send a recording.")
    blocks, values, rate_hz = [], 0, sample_rate_hz
    try:
        for block, rate_hz in read_blocks(io.BytesIO(data)):
            if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
                bounds = f"{MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
                raise AudioError(f"the sample rate is {rate_hz} Hz; send a recording of {bounds}.")
            check_shape(block)
            blocks.append(block)
            values += block.size
            if values > max_seconds * rate_hz * block.shape[1]:
                raise TooLongError(f"the recording lasts longer than {max_seconds:g} s; send at most that at a time.")
            if values > MAX_CHANNELS_IN_MEMORY * max_seconds * MAX_RATE_HZ:
                raise AudioError("the upload has too many channels for its duration; send mono or stereo.")
    except OverflowError as error:
        raise AudioError("the upload cannot be read as audio; send a WAV, FLAC, OGG or MP3 recording.") from error
    return to_mono(np.concatenate(blocks) if blocks else np.zeros(0, np.float32), rate_hz, sample_rate_hz)


def encode(audio: Float[np.ndarray, " S"], rate_hz: int, container: Container) -> bytes:
    """The bytes that `io.save` writes into a file of this format.

    Args:
      audio: the samples; peaks above 1 are scaled down.
      rate_hz: their rate.
      container: format of the file.
    """
    buffer = io.BytesIO()
    write_blocks(buffer, [audio], len(audio), float(np.abs(audio).max(initial=0.0)), rate_hz, container)
    return buffer.getvalue()
