"""Decoding of files, pipes and bytes in blocks, whatever their headers say about the length.

libsndfile believes the header of a FLAC file and a WAV header of length 0. Encoders that cannot seek leave the length
open, crashed recorders leave it 0, and a copy that was broken off has fewer samples than its header states.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evc_jax.audio.containers import container_blocks
from evc_jax.errors import AudioError, AudioWarning
from evc_jax.files import RECORDING_KINDS

BLOCK_VALUES = 2**18
_LENGTH_OPEN = 2**62  # libsndfile's number of frames is beyond it where the header states none
_HEADER_BYTES = 2**16
# What libsndfile's log says of a file that ends before its samples should.
_CUT_SHORT = re.compile(
    r"^ ?(data|SSND) : (?P<stated>\d+) \(should be|^Ogg ?: (File ended|Last page|Junk)", re.MULTILINE
)


def read_blocks(
    source: str | os.PathLike | io.IOBase, block_values: int = BLOCK_VALUES
) -> Iterator[tuple[Float[np.ndarray, "s channels"], int]]:
    """Decodes a recording in blocks of float32 samples at its own rate, each with that rate.

    The header's length is not trusted: memory is that of a block, and all samples that can be decoded are read. An
    `AudioWarning` says where the file ends early or was not closed.

    Args:
      source: a path, or an open binary file, which may be a pipe.
      block_values: samples of all channels together in a block.

    Raises:
      AudioError: the file is missing, empty, may not be read, or is no recording.
    """
    import soundfile

    name = name_of(source)
    with _open(source) as file:
        replaced, stated = _without_length(file)
        decoded, damage, rate_hz, shortened = 0, None, 0, None
        sound = _open_sound(file, replaced)
        if sound is None:
            yield from container_blocks(file, name, block_values)
            return
        try:
            with sound:
                rate_hz, stated = sound.samplerate, stated or sound.frames
                shortened = _CUT_SHORT.search(sound.extra_info)
                for block in _decode(sound, max(1, block_values // sound.channels)):
                    decoded += len(block)
                    yield block, rate_hz
        except (soundfile.SoundFileError, OSError, TypeError) as error:
            damage = error
    if damage is not None and not decoded:
        raise AudioError(f"{name} cannot be read as audio; give a {RECORDING_KINDS} recording.") from damage
    if shortened and shortened["stated"] in ("0", "4294967295"):
        warnings.warn(AudioWarning(f"{name} was not closed; {decoded / rate_hz:.2f} s were read."), stacklevel=2)
    elif damage is not None or shortened or decoded < stated < _LENGTH_OPEN:
        warnings.warn(AudioWarning(f"{name} ends early; {decoded / rate_hz:.2f} s could be read."), stacklevel=2)


def stated_length(path: str | os.PathLike) -> tuple[int, int]:
    """The samples per channel that a recording's header states, and their rate; counted where it states none.

    Raises:
      AudioError: see `read_blocks`.
    """
    import soundfile

    with contextlib.suppress(soundfile.SoundFileError), soundfile.SoundFile(os.fsencode(check_file(path))) as sound:
        if 0 < sound.frames < _LENGTH_OPEN:
            return sound.frames, sound.samplerate
    blocks = [(0, 1), *((len(block), rate_hz) for block, rate_hz in read_blocks(path))]
    return sum(samples for samples, _ in blocks), blocks[-1][1]


def _open_sound(file: io.IOBase, replaced: Mapping[int, int]):
    """The file as libsndfile opens it, or None where it cannot."""
    import soundfile

    with contextlib.suppress(soundfile.SoundFileError, OSError, TypeError):
        return soundfile.SoundFile(_PatchedFile(file, replaced))
    return None


def _without_length(file: io.IOBase) -> tuple[dict[int, int], int]:
    """The bytes that leave the length in a file's header open, by position, and the samples that FLAC states."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(_HEADER_BYTES)
    file.seek(0)
    if start[:4] == b"fLaC":
        stated = int.from_bytes(start[21:26]) & (2**36 - 1)
        return dict(enumerate([start[21] & 0xF0, 0, 0, 0, 0], 21)) if len(start) >= 26 else {}, stated
    samples = start.find(b"data\0\0\0\0") + 8
    if start[:4] != b"RIFF" or samples < 8 or samples == size:
        return {}, 0
    # What follows a length of 0 may be another chunk: a name of four letters and a size that fits.
    chunk = start[samples : samples + 8]
    is_chunk = all(32 <= byte < 127 for byte in chunk[:4]) and int.from_bytes(chunk[4:], "little") <= size - samples - 8
    return {} if is_chunk else dict.fromkeys(range(samples - 4, samples), 0xFF), 0


class _PatchedFile:
    """What libsndfile needs of a seekable binary file, in which the bytes at some positions read as others."""

    def __init__(self, file: io.IOBase, replaced: Mapping[int, int]):
        self._file, self._replaced = file, replaced
        self.tell = file.tell

    def read(self, count: int) -> bytes:
        start = self.tell()
        data = bytearray(self._file.read(count))
        for position, byte in self._replaced.items():
            if start <= position < start + len(data):
                data[position - start] = byte
        return bytes(data)

    def seek(self, offset: int, whence: int) -> None:
        with contextlib.suppress(ValueError, OSError):  # A damaged header may lead to before the start.
            self._file.seek(offset, whence)


def _decode(sound, frames: int) -> Iterator[Float[np.ndarray, "s channels"]]:
    """Blocks of an open SoundFile, whether its length is known or not; what lies before any damage is decoded."""
    import soundfile

    if sound.format == "MP3":
        sound.seek(0)  # The decoder rounds otherwise before its first seek.
    # SoundFile seeks after each block where it can, which fails beyond an unknown length.
    sound.seekable = lambda: False
    while True:
        block = np.full((frames, sound.channels), np.nan, np.float32)
        try:
            read = len(sound.read(out=block))
        except soundfile.SoundFileError:
            # The samples before the damage were decoded, but their number is lost.
            is_missing = np.any(np.isnan(block), axis=1)
            if not is_missing[0]:
                yield block[: is_missing.argmax() if is_missing.any() else frames]
            raise
        if not read:
            return
        yield block[:read]


def name_of(source: str | os.PathLike | io.IOBase) -> str:
    """What messages call the source."""
    return os.fspath(source) if isinstance(source, str | os.PathLike) else "the input"


@contextlib.contextmanager
def naming_errors(source: str | os.PathLike | io.IOBase | np.ndarray) -> Iterator[None]:
    """Puts the source's name before the sentence of an AudioError that lacks it; an array has none."""
    try:
        yield
    except AudioError as error:
        if isinstance(source, np.ndarray) or str(error).startswith(name_of(source)):
            raise
        raise AudioError(f"{name_of(source)}: {error}") from error


def _open(source: str | os.PathLike | io.IOBase) -> io.IOBase:
    """The recording as a seekable binary file, which is to be closed; pipes are read into memory."""
    if isinstance(source, str | os.PathLike):
        path = check_file(source)
        try:
            file = path.open("rb")
        except OSError as error:
            raise _not_accessible(path, error) from error
        if file.seekable():
            return file
        with file:
            data = file.read()
    else:
        data = source.read()
    if not data:
        raise AudioError(f"{name_of(source)} is empty; give a recording.")
    return io.BytesIO(data)


def check_file(path: str | os.PathLike) -> Path:
    """The path, if a file with something in it, or a pipe, lies there.

    Raises:
      AudioError: the file is missing or empty, or a folder, or there is no permission to look.
    """
    path = Path(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise AudioError(f"{path} does not exist; give the path of a recording.") from error
    except OSError as error:
        raise _not_accessible(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise AudioError(f"{path} is a folder; give a recording.")
    if stat.S_ISFIFO(status.st_mode):
        return path
    if not stat.S_ISREG(status.st_mode):
        raise AudioError(f"{path} is a device; give a recording.")
    if status.st_size == 0:
        raise AudioError(f"{path} is an empty file; give a recording.")
    return path


def _not_accessible(path: Path, error: OSError) -> AudioError:
    if isinstance(error, PermissionError):
        return AudioError(f"{path} cannot be opened: no permission; change its permissions or give another recording.")
    return AudioError(f"{path} cannot be opened ({error.strerror or error}); give another recording.")
