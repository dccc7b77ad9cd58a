"""Uploaded bytes to samples and samples to bytes, in memory only, whatever sizes their headers declare."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from jaxtyping import Float

from evc_jax.audio.io import check_duration, check_shape, mix, to_mono, write_blocks
from evc_jax.errors import AudioError

MIN_RATE_HZ, MAX_RATE_HZ = 1000, 192_000
Container = Literal["wav", "flac"]
# What is read at once; MP3 read in several blocks differs from MP3 read as a whole, by rounding.
_BLOCK_CHANNELS = 2


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
    import soundfile

    if not data:
        raise AudioError("the upload is empty; send a recording.")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            mono = _read_mono(file, max_seconds)
            return to_mono(mono, file.samplerate, sample_rate_hz)
    except (soundfile.SoundFileError, OSError, TypeError, OverflowError) as error:
        raise AudioError("the upload cannot be read as audio; send a WAV, FLAC, OGG or MP3 recording.") from error


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


def _read_mono(file, max_seconds: float) -> Float[np.ndarray, " S"]:
    """The mean of all channels, block by block, so that many channels need no more memory than two."""
    rate_hz = file.samplerate
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(f"the sample rate is {rate_hz} Hz; send a recording of {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz.")
    check_shape(np.empty((1, file.channels), np.float32))
    limit = int(max_seconds * rate_hz)
    at_once = max(1, _BLOCK_CHANNELS * (limit + 1) // file.channels)
    blocks, frames = [np.zeros(0, np.float32)], 0
    while frames <= limit:
        block = file.read(at_once, dtype="float32", always_2d=True)
        if not len(block):
            break
        blocks.append(mix(block))
        frames += len(block)
    if frames > limit:
        raise TooLongError(f"the recording lasts longer than {max_seconds:g} s; send at most that at a time.")
    check_duration(frames, rate_hz)
    return np.concatenate(blocks)
