"""Recordings that libsndfile cannot read, from browsers and phones: WebM, M4A, MP4, 3GP, AMR, WMA, ..., by FFmpeg."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import IO

import numpy as np
from jaxtyping import Float

from evc_jax.audio import decoder_process
from evc_jax.audio.decoder_process import DAMAGED, NO_AUDIO, RECORD, WHOLE
from evc_jax.errors import AudioError, AudioWarning
from evc_jax.files import RECORDING_KINDS


def container_blocks(
    file: io.IOBase, name: str, block_values: int
) -> Iterator[tuple[Float[np.ndarray, "s channels"], int]]:
    """Decodes the audio track of a file of any format that FFmpeg knows, in blocks; see `decoding.read_blocks`.

    A track whose rate or channels change is resampled to those it begins with. `decoder_process` says what is done
    with the delays of encoders, and why FFmpeg runs in a process of its own.

    Args:
      file: an open binary file, on disk or in memory.
      name: what messages call it.
      block_values: samples of all channels together in a block, about.

    Raises:
      AudioError: it has no audio track, or cannot be read.
    """
    decoded, rate_hz, status = 0, 0, None
    with _decoder(file, block_values) as output:
        while status is None and len(head := output.read(RECORD.size)) == RECORD.size:
            first, channels, size = RECORD.unpack(head)
            if not channels:
                status = first
                continue
            rate_hz, samples = first, output.read(size)
            block = np.frombuffer(bytearray(samples[: len(samples) // (4 * channels) * 4 * channels]), np.float32)
            decoded += len(block) // channels
            yield block.reshape(-1, channels), rate_hz
    if status == NO_AUDIO:
        raise AudioError(f"{name} has no audio track; give a recording.")
    if not decoded and status != WHOLE:
        raise AudioError(f"{name} cannot be read as audio; give a {RECORDING_KINDS} recording.")
    if status != WHOLE:
        what = "is damaged" if status == DAMAGED else "ends early"
        warnings.warn(AudioWarning(f"{name} {what}; {decoded / rate_hz:.2f} s could be read."), stacklevel=2)


@contextlib.contextmanager
def _decoder(file: io.IOBase, block_values: int) -> Iterator[IO[bytes]]:
    """The output of a process that decodes a file."""
    # Without -P the modules beside it would hide those of the standard library, such as io.
    command = [sys.executable, "-P", decoder_process.__file__, str(block_values)]
    data = file.getvalue() if isinstance(file, io.BytesIO) else None
    with subprocess.Popen(
        command,
        stdin=file.fileno() if data is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # an interrupt of the terminal is for this process
    ) as process:
        assert process.stdout is not None
        try:
            if data is not None and process.stdin is not None:
                with contextlib.suppress(BrokenPipeError), process.stdin:
                    process.stdin.write(data)
            yield process.stdout
        finally:
            process.kill()
