"""Reads what `torch.save` wrote without PyTorch, and without running anything that a file contains.

Both formats of PyTorch are read: the zip archive (since 1.6) and the older stream of pickles and storages. The file is
mapped into memory; what its pickle declares is checked against the file's size before any tensor is made.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evc_jax.errors import CheckpointError
from evc_jax.torch_import.pickle_opcodes import run_pickle
from evc_jax.torch_import.rejection import Forbidden, Malformed, Rejected, naming
from evc_jax.torch_import.stored_zip import LOCAL_HEADER, Entry, read_entries
from evc_jax.torch_import.torch_globals import TorchGlobals
from evc_jax.torch_import.torch_objects import Blob, DType

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
_TAR_MAGIC = slice(257, 262)


@dataclass(frozen=True)
class TorchFile:
    """A file that `torch.save` wrote.

    Attributes:
      path: where it lies.
      content: what was saved: dicts, lists, numbers, `torch_objects.Tensor` and `torch_objects.Module`.
      nbytes: its size.
    """

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
    with path.open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    with naming(path):
        content = _read_archive(data) if data[:4] == LOCAL_HEADER else _read_stream(data)
    return TorchFile(path, content, len(data))


def _read_archive(data: memoryview) -> Any:
    entries = read_entries(data)
    found = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(found) != 1:
        raise Malformed("its archive holds no data.pkl, or several")
    root = found[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in entries:
        raise Rejected("is a TorchScript program, not a checkpoint; save its state_dict with torch.save instead")
    byte_order = _byte_order(data, entries.get(f"{root}byteorder"))
    meaning = TorchGlobals()
    entry = entries[found[0]]
    pickle = _blob(data, entry, Blob("data.pkl", DType("uint8"), entry.size))
    content, _ = run_pickle(pickle.bytes(), meaning)
    meaning.finish()
    for blob in meaning.blobs.values():
        entry = entries.get(f"{root}data/{blob.key}")
        if entry is None or entry.size != blob.nbytes:
            raise Malformed(f"storage {blob.key!a:.40} is missing or of another size than declared")
        _blob(data, entry, blob).byte_order = byte_order
    return content


def _blob(data: memoryview, entry: Entry, blob: Blob) -> Blob:
    entry.require_stored()
    blob.data, blob.crc = data[entry.start : entry.start + entry.size], entry.crc
    return blob


def _byte_order(data: memoryview, entry: Entry | None) -> str:
    """Files of PyTorch before 2.1 do not tell; they are little-endian."""
    written = bytes(data[entry.start : entry.start + min(entry.size, 16)]) if entry else b"little"
    orders: Mapping[bytes, str] = {b"little": "<", b"big": ">"}
    if written not in orders:
        raise Malformed("its byte order is neither little nor big")
    return orders[written]


def _read_stream(data: memoryview) -> Any:
    """Magic number, protocol, facts about the writer's machine, the object, keys of the storages, the storages."""
    position = _check_header(data)
    meaning = TorchGlobals()
    content, position = run_pickle(data, meaning, position)
    meaning.finish()
    keys, position = run_pickle(data, _Plain(), position)
    if not _is_list_of(keys, meaning.blobs):
        raise Malformed("it lists other storages than it uses")
    for key in keys:
        blob = meaning.blobs[key]
        start = position + 8
        if start + blob.nbytes > len(data):
            raise Malformed("it ends before its last storage")
        if struct.unpack_from("<q", data, position)[0] != blob.count:
            raise Malformed(f"storage {key!a:.40} has another size than declared")
        position = start + blob.nbytes
        # PyTorch writes this format's storages in little-endian order on any machine.
        blob.data = data[start:position]
    return content


def _check_header(data: memoryview) -> int:
    if data[_TAR_MAGIC] == b"ustar":
        raise Rejected("is a tar archive, PyTorch's format before 2017; load and save it again with a PyTorch of today")
    try:
        magic, position = run_pickle(data, _Plain())
    except Forbidden:
        raise
    except Rejected as rejected:
        raise _foreign() from rejected
    if magic != MAGIC_NUMBER:
        raise _foreign()
    version, position = run_pickle(data, _Plain(), position)
    if version != PROTOCOL_VERSION:
        raise Malformed("it is of an unknown version of PyTorch's older format")
    return run_pickle(data, _Plain(), position)[1]


def _foreign() -> Rejected:
    return Rejected("is no checkpoint that torch.save wrote; give one of the original PyTorch systems' files")


def _is_list_of(keys: Any, blobs: Mapping[str, Blob]) -> bool:
    """Whether these are the names of all storages, each once."""
    return type(keys) is list and all(type(key) is str for key in keys) and sorted(keys) == sorted(blobs)


class _Plain:
    """`pickle_machine.Meaning` of plain data: nothing else is there."""

    def find_global(self, module: str, name: str) -> Any:
        raise Forbidden(f"{module}.{name}")

    def call(self, function: Any, arguments: Any) -> Any:
        raise Malformed("it calls what is no function")

    def create(self, kind: Any, arguments: Any) -> Any:
        raise Malformed("it makes an object of what is no class")

    def set_state(self, target: Any, state: Any) -> None:
        raise Malformed("it sets the state of what has none")

    def load_persistent(self, identifier: Any) -> Any:
        raise Malformed("it has a storage where none belongs")
