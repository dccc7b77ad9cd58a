"""Reads what `torch.save` wrote, as a zip archive or in the older stream format, without PyTorch.

What a file declares is held against its size before memory is taken.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from evc_jax.errors import CheckpointError
from evc_jax.torch_import.torch_pickle import Pickle, Storage, printable, require

MAGIC_NUMBER, PROTOCOL_VERSION = 0x1950A86A20F9469CFC6C, 1001


class TorchFile(NamedTuple):
    """A checkpoint: its path, its size, and what was saved (dicts, lists, numbers, `Tensor`s and `Module`s)."""

    path: Path
    content: Any
    nbytes: int


def read_torch_file(path: str | os.PathLike) -> TorchFile:
    """Reads a checkpoint.

    Raises:
      CheckpointError: there is no such file, it is none of PyTorch's, it is damaged, or it asks for something that
        could run code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give a checkpoint file.")
    if path.stat().st_size == 0:
        raise CheckpointError(f"{path} is an empty file; give a checkpoint.")
    with path.open("rb") as file, naming(path):
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        content = _read_archive(file, data) if bytes(data[:4]) == b"PK\x03\x04" else _read_stream(data)
    return TorchFile(path, content, len(data))


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turns whatever a foreign file makes fail into one sentence that begins with the file's name."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path} {error}.") from error
    except Exception as error:  # pickletools and zipfile raise almost anything
        reason = printable(str(error) or type(error).__name__)
        raise CheckpointError(
            f"{path} is damaged or no PyTorch checkpoint: {reason}; copy it again from where it was made."
        ) from error


def _read_archive(file: BinaryIO, data: memoryview) -> Any:
    archive = zipfile.ZipFile(file)
    names = archive.namelist()
    found = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    require(len(found) == 1, "its archive holds no data.pkl, or several")
    root = found[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in names:
        raise CheckpointError("is a TorchScript program, not a checkpoint; save its state_dict with torch.save instead")
    big = f"{root}byteorder" in names and bytes(_stored(archive, data, f"{root}byteorder").bytes()) == b"big"
    pickle = Pickle(_stored(archive, data, found[0]).bytes())
    for key, storage in pickle.storages.items():
        stored = _stored(archive, data, f"{root}data/{key}")
        require(stored.nbytes == storage.nbytes, f"storage {key} is of another size than declared")
        storage.data, storage.crc, storage.byte_order = stored.data, stored.crc, ">" if big else "<"
    return pickle.content


def _stored(archive: zipfile.ZipFile, data: memoryview, name: str) -> Storage:
    """An entry as a stretch of the file; PyTorch compresses none, and so nothing is ever unpacked."""
    info = archive.getinfo(name)
    if info.compress_type or info.flag_bits & 1 or info.file_size != info.compress_size:
        raise CheckpointError(f"holds {printable(name)} compressed or encrypted; save it again with torch.save")
    start = info.header_offset + 30 + sum(struct.unpack_from("<2H", data, info.header_offset + 26))
    require(0 <= start <= len(data) - info.file_size, "its archive is cut short")
    return Storage(info.file_size, 1, data[start : start + info.file_size], info.CRC)


def _read_stream(data: memoryview) -> Any:
    """Magic number, version, facts about the writer, the object, keys of the storages, the storages."""
    if bytes(data[257:262]) == b"ustar":
        raise CheckpointError("is a tar archive, PyTorch's format before 2017; save it again with a PyTorch of today")
    try:
        header = Pickle(data)
        require(header.content == MAGIC_NUMBER, "another magic number")
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError("is no checkpoint that torch.save wrote; give one of the original systems'") from error
    version = Pickle(data, header.end)
    require(version.content == PROTOCOL_VERSION, "it is of an unknown version of PyTorch's older format")
    pickle = Pickle(data, Pickle(data, version.end).end)
    keys = Pickle(data, pickle.end)
    require(sorted(keys.content) == sorted(pickle.storages), "it lists other storages than it uses")
    position = keys.end
    for key in keys.content:
        storage = pickle.storages[key]
        (count,) = struct.unpack_from("<q", data, position)
        require(count * storage.width == storage.nbytes, f"storage {key} is of another size than declared")
        storage.data = data[position + 8 : position + 8 + storage.nbytes]
        require(len(storage.data) == storage.nbytes, "it ends before its last storage")
        position += 8 + storage.nbytes
    return pickle.content
