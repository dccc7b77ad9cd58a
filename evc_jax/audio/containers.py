"""What the headers of audio files say about their length, and where that is wrong or left open.

libsndfile believes the header of a FLAC and a WAV file. Encoders that cannot seek leave the length open, crashed
recorders leave it 0, and a copy that was broken off has fewer samples than its header states. `inspect_header` finds
the bytes to replace so that libsndfile reads to the end of the file, and what the header stated before.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

_FLAC_TOTAL_OFFSET = 21  # STREAMINFO: 36 bits, the lower half of this byte and four more
_OGG_LAST_PAGE_BYTES = 65_307 + 27  # a page is at most so long
_XING_SEARCH_BYTES = 4096
_LARGEST_CHUNK = 2**32 - 2


@dataclass(frozen=True)
class Header:
    """What `inspect_header` found.

    Attributes:
      replaced: position in the file -> the byte that libsndfile is to read there.
      stated_samples: length according to a FLAC header; None where it is open or another format.
      cut_short: whether the file ends before the end that it announces.
      not_closed: whether its length was never filled in.
    """

    replaced: Mapping[int, int] = field(default_factory=dict)
    stated_samples: int | None = None
    cut_short: bool = False
    not_closed: bool = False


def inspect_header(file: io.IOBase) -> Header:
    """Reads the headers of a seekable file and leaves it at its start."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(12)
    first = _id3_bytes(file, start)
    if start[:4] in (b"RIFF", b"FORM"):
        header = _inspect_chunks(file, start, size)
    elif _read_at(file, first, 4) == b"fLaC":
        header = _inspect_flac(file, first)
    elif start[:4] == b"OggS":
        header = Header(cut_short=not _ogg_is_complete(file, size))
    else:
        header = _inspect_mp3(file, first, size)
    file.seek(0)
    return header


class PatchedFile(io.RawIOBase):
    """A seekable binary file in which some bytes read as others."""

    def __init__(self, file: io.IOBase, replaced: Mapping[int, int]):
        self._file = file
        self._replaced = replaced

    def readinto(self, buffer) -> int:
        """See `io.RawIOBase.readinto`."""
        start = self._file.tell()
        view = memoryview(buffer).cast("B")
        data = self._file.read(len(view))
        view[: len(data)] = data
        for position, byte in self._replaced.items():
            if start <= position < start + len(data):
                view[position - start] = byte
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See `io.IOBase.seek`."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """See `io.IOBase.tell`."""
        return self._file.tell()


def _read_at(file: io.IOBase, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)


def _id3_bytes(file: io.IOBase, start: bytes) -> int:
    """Length of the ID3 tag that MP3 and some FLAC files begin with; its size has seven bits a byte."""
    if start[:3] != b"ID3" or len(start) < 10:
        return 0
    return 10 + sum((byte & 0x7F) << shift for byte, shift in zip(start[6:10], (21, 14, 7, 0), strict=True))


def _inspect_flac(file: io.IOBase, first: int) -> Header:
    """The length is always left open for libsndfile: it never reads beyond a stated one that is too small."""
    position = first + _FLAC_TOTAL_OFFSET
    field_bytes = _read_at(file, position, 5)
    if len(field_bytes) < 5:
        return Header(cut_short=True)
    stated = int.from_bytes(field_bytes) & (2**36 - 1)
    return Header(dict(enumerate([field_bytes[0] & 0xF0, 0, 0, 0, 0], position)), stated_samples=stated or None)


def _inspect_chunks(file: io.IOBase, start: bytes, size: int) -> Header:
    """WAV and AIFF: the chunk of samples ends with the file where its size is 0, unknown or too large."""
    order: Literal["little", "big"] = "little" if start[:4] == b"RIFF" else "big"
    wanted = b"data" if start[:4] == b"RIFF" else b"SSND"
    position = 12
    while len(chunk := _read_at(file, position, 8)) == 8:
        stated, first = int.from_bytes(chunk[4:], order), position + 8
        if chunk[:4] != wanted:
            position = first + stated + stated % 2
            continue
        left = size - first
        is_open = stated == 0xFFFFFFFF or (stated == 0 and left > 0 and not _is_chunk(file, first, size, order))
        if stated <= left and not is_open:
            return Header()
        replaced: dict[int, int] = {}
        for size_at, count in ((4, size - 8), (position + 4, left)):
            replaced |= enumerate(min(count, _LARGEST_CHUNK).to_bytes(4, order), size_at)
        return Header(replaced, cut_short=not is_open, not_closed=is_open)
    return Header()


def _is_chunk(file: io.IOBase, position: int, size: int, order: Literal["little", "big"]) -> bool:
    """Whether another chunk begins there: a name of four letters and a size that fits."""
    chunk = _read_at(file, position, 8)
    named = len(chunk) == 8 and all(32 <= byte < 127 for byte in chunk[:4])
    return named and position + 8 + int.from_bytes(chunk[4:], order) <= size


def _ogg_is_complete(file: io.IOBase, size: int) -> bool:
    """Whether the last page is whole and marked as the last of its stream."""
    end = _read_at(file, max(0, size - _OGG_LAST_PAGE_BYTES), _OGG_LAST_PAGE_BYTES)
    page = end[end.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return False
    is_last = bool(page[5] & 4)
    return is_last and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


def _inspect_mp3(file: io.IOBase, first: int, size: int) -> Header:
    """The first frame may hold how many bytes there are: what is left of a file that was cut short, for mpg123."""
    start = _read_at(file, first, _XING_SEARCH_BYTES)
    tag = re.search(b"Xing|Info", start)
    if start[:1] != b"\xff" or tag is None:
        return Header()
    flags_at = tag.end()
    flags = int.from_bytes(start[flags_at : flags_at + 4])
    bytes_at = flags_at + 4 + 4 * (flags & 1)
    stated = int.from_bytes(start[bytes_at : bytes_at + 4])
    if not flags & 2 or stated <= size - first:
        return Header()
    return Header(dict(enumerate((size - first).to_bytes(4), first + bytes_at)), cut_short=True)
