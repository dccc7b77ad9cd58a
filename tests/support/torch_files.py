"""Files as `torch.save` writes them, and files as it never would."""

from __future__ import annotations

import contextlib
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
SYSTEM_INFORMATION = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def save(torch, value, path: Path, legacy: bool = False, protocol: int = 2) -> Path:
    """`torch.save` in either format."""
    torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    return path


def archive(
    path: Path, program: bytes, storages: Mapping[str, bytes] | None = None, compression: int = zipfile.ZIP_STORED
) -> Path:
    """A zip checkpoint with this pickle."""
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("archive/data.pkl", program)
        file.writestr("archive/version", b"3\n")
        for key, data in (storages or {}).items():
            file.writestr(f"archive/data/{key}", data)
    return path


def stream(path: Path, program: bytes, storages: Mapping[str, np.ndarray] | None = None) -> Path:
    """A checkpoint of the older format with this pickle."""
    parts = [pickle.dumps(value, 2) for value in (MAGIC_NUMBER, 1001, SYSTEM_INFORMATION)]
    parts += [program, pickle.dumps(sorted(storages or {}), 2)]
    for _, values in sorted((storages or {}).items()):
        parts += [struct.pack("<q", values.size), values.tobytes()]
    path.write_bytes(b"".join(parts))
    return path


def text(value: str) -> bytes:
    """The opcode that pushes a string."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def persistent_storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    """The opcodes that push a storage."""
    numbers = b"\x8a\x08" + struct.pack("<q", count)
    return b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu") + numbers + b"tQ"


def tensor(key: str, count: int, shape: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """The opcodes that push a tensor."""

    def tuple_of(numbers):
        return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", number) for number in numbers) + b"t"

    arguments = persistent_storage(key, count) + tuple_of([offset])[1:-1] + tuple_of(shape) + tuple_of(stride)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"\x89ccollections\nOrderedDict\n)RtR"


def state_dict(tensors: Mapping[str, bytes]) -> bytes:
    """A program that makes a dict of tensors."""
    return b"\x80\x02}(" + b"".join(text(name) + value for name, value in tensors.items()) + b"u."


@contextlib.contextmanager
def importable(name: str, **contents) -> Iterator[types.ModuleType]:
    """A module that exists only inside this context."""
    module = types.ModuleType(name)
    for key, value in contents.items():
        setattr(module, key, value)
        if isinstance(value, type):
            value.__module__, value.__qualname__ = name, key
    sys.modules[name] = module
    try:
        yield module
    finally:
        del sys.modules[name]
