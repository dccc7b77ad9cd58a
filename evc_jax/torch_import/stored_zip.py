"""The zip archives that PyTorch writes, whose entries are stored as they are.

An entry is a stretch of the file, so nothing is ever unpacked: a compressed entry is refused when it is asked for, and
with it every zip bomb; overlapping entries, the other kind of bomb, are refused too.
Source: APPNOTE.TXT of the zip format, 4.3 and 4.5.
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass

from evc_jax.torch_import.rejection import Malformed, Rejected, printable

LOCAL_HEADER = b"PK\x03\x04"
MAX_ENTRIES = 100_000
_MAX_COMMENT = 65_535
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_EXTRA_64 = 1
_FULL_32, _FULL_16 = 0xFFFFFFFF, 0xFFFF
_ENCRYPTED = 1


@dataclass(frozen=True)
class Entry:
    """A file in the archive.

    Attributes:
      name: its path.
      header: where its local header begins.
      start, size: where its bytes lie.
      unpacked: what the directory says that they become.
      crc: their checksum.
      flags, method: how they are encrypted and compressed; 0 is not at all.
    """

    name: str
    header: int
    start: int
    size: int
    unpacked: int
    crc: int
    flags: int
    method: int

    def require_stored(self) -> None:
        """Raises Rejected unless the bytes are the contents."""
        if self.flags & _ENCRYPTED:
            raise Rejected(f"holds {printable(self.name)} encrypted; PyTorch does not, save it again with torch.save")
        if self.method or self.size != self.unpacked:
            raise Rejected(
                f"holds {printable(self.name)} compressed, {self.size} bytes for {self.unpacked}; PyTorch stores "
                "entries as they are, save it again with torch.save"
            )


def read_entries(data: memoryview) -> dict[str, Entry]:
    """The entries of an archive, by name.

    Raises:
      Rejected: the archive is cut short or damaged, or its entries overlap.
    """
    position, size, count = _directory(data)
    if count > MAX_ENTRIES:
        raise Rejected(f"is an archive of {count:,} entries; a checkpoint has at most {MAX_ENTRIES:,}")
    entries: dict[str, Entry] = {}
    end = position + size
    for _ in range(count):
        entry, position = _entry(data, position, end)
        if entry.name in entries:
            raise Malformed(f"its archive holds {printable(entry.name)} twice")
        entries[entry.name] = entry
    _check_overlaps(entries, end - size)
    return entries


def _unpack(layout: struct.Struct, data: memoryview, position: int, signature: bytes) -> tuple:
    if not 0 <= position <= len(data) - layout.size:
        raise Malformed("its archive is cut short")
    fields = layout.unpack_from(data, position)
    if fields[0] != signature:
        raise Malformed("its archive's directory does not fit its contents")
    return fields[1:]


def _directory(data: memoryview) -> tuple[int, int, int]:
    """Where the central directory begins, its size and the number of its entries."""
    tail_start = max(0, len(data) - _MAX_COMMENT - _END.size)
    found = bytes(data[tail_start:]).rfind(b"PK\x05\x06")
    if found < 0:
        raise Malformed("its archive has no directory at its end, it is cut short")
    end = tail_start + found
    *_, count, size, position, _ = _unpack(_END, data, end, b"PK\x05\x06")
    if count == _FULL_16 or size == _FULL_32 or position == _FULL_32:
        end = _unpack(_LOCATOR_64, data, end - _LOCATOR_64.size, b"PK\x06\x07")[1]
        *_, count, size, position = _unpack(_END_64, data, end, b"PK\x06\x06")
    if position + size > end:
        raise Malformed("its archive's directory lies outside of it")
    return position, size, count


def _entry(data: memoryview, position: int, end: int) -> tuple[Entry, int]:
    fields = _unpack(_ENTRY, data, position, b"PK\x01\x02")
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment_length, *_, header = fields
    name_start = position + _ENTRY.size
    extra_start = name_start + name_length
    following = extra_start + extra_length + comment_length
    if following > end:
        raise Malformed("its archive's directory is cut short")
    name = bytes(data[name_start:extra_start]).decode("utf-8", "backslashreplace")
    size, packed, header = _widen(bytes(data[extra_start : extra_start + extra_length]), size, packed, header)
    *_, local_name, local_extra = _unpack(_LOCAL, data, header, LOCAL_HEADER)
    start = header + _LOCAL.size + local_name + local_extra
    return Entry(name, header, start, packed, size, crc, flags, method), following


def _widen(extra: bytes, size: int, packed: int, header: int) -> tuple[int, int, int]:
    """Numbers that do not fit 32 bits are kept in an extra field, in this order."""
    wide: list[int] = []
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == _EXTRA_64:
            usable = extra[4 : 4 + length]
            wide = list(struct.unpack(f"<{len(usable) // 8}Q", usable[: len(usable) // 8 * 8]))
        extra = extra[4 + length :]
    values = []
    for value in (size, packed, header):
        if value == _FULL_32:
            if not wide:
                raise Malformed("its archive lacks a size")
            value = wide.pop(0)
        values.append(value)
    return values[0], values[1], values[2]


def _check_overlaps(entries: dict[str, Entry], directory: int) -> None:
    ordered = sorted(entries.values(), key=lambda entry: entry.header)
    for entry, following in itertools.zip_longest(ordered, ordered[1:]):
        limit = following.header if following else directory
        if entry.start + entry.size > limit:
            raise Malformed(f"entry {printable(entry.name)} of its archive reaches into what follows")
