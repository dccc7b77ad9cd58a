"""What a PyTorch checkpoint is made of, as inert stand-ins: storages, tensors and pickled modules."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evc_jax.torch_import.rejection import Malformed, Rejected

MAX_RANK = 16
MAX_MODULES = 20_000
MAX_MODULE_DEPTH = 32
MAX_PARTS = 1_000
MAX_PART_NAME = 200

# NumPy's code of each type, without byte order. NumPy has no bfloat16: it is the upper half of a float32.
DTYPES = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": "u2",
    "complex64": "c8",
    "complex128": "c16",
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint64": "u8",
    "uint32": "u4",
    "uint16": "u2",
    "uint8": "u1",
    "bool": "u1",
}
STORAGE_TYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}


@dataclass(frozen=True)
class DType:
    """A type of values, one of `DTYPES`."""

    name: str

    def numpy(self, byte_order: str = "<") -> np.dtype:
        """The NumPy type that its bytes are read as."""
        return np.dtype(byte_order + DTYPES[self.name])

    @property
    def size(self) -> int:
        """Bytes of one value."""
        return self.numpy().itemsize


@dataclass(eq=False)
class Blob:
    """The bytes of one storage; where they lie is known only once the pickle has been read.

    Attributes:
      key: its name in the file.
      dtype: of the storage that named it first.
      count: values of that type.
      data: its bytes, a view of the file.
      byte_order: "<" or ">".
      crc: checksum that the bytes must have, None where the format has none.
    """

    key: str
    dtype: DType
    count: int
    data: memoryview | None = None
    byte_order: str = "<"
    crc: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that the pickle declares."""
        return self.count * self.dtype.size

    def bytes(self) -> memoryview:
        """The bytes, checked.

        Raises:
          Malformed: they are missing or damaged.
        """
        if self.data is None:
            raise Malformed(f"storage {self.key!a:.40} is missing")
        if self.crc is not None and zlib.crc32(self.data) != self.crc:
            raise Malformed(f"storage {self.key!a:.40} has another checksum than it was written with")
        self.crc = None  # checked once
        return self.data


@dataclass(frozen=True, eq=False)
class Storage:
    """A stretch of a blob, in bytes."""

    blob: Blob
    dtype: DType
    start: int
    nbytes: int


@dataclass(frozen=True, eq=False)
class Tensor:
    """A strided view of a storage; nothing is read before `numpy` is called. Offset and strides count values."""

    storage: Storage
    dtype: DType
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def numpy(self) -> np.ndarray:
        """The values: a read-only view of the file where NumPy has the type, a float32 copy of bfloat16.

        Raises:
          Malformed: the tensor reaches past its storage, or is larger than it.
        """
        strides = [0 if size == 1 else step for size, step in zip(self.shape, self.stride, strict=True)]
        count = math.prod(self.shape)
        reach = self.offset + sum((size - 1) * step for size, step in zip(self.shape, strides, strict=True)) + 1
        width = self.dtype.size
        if count < 1 or max(count, reach) * width > self.storage.nbytes:
            raise Malformed(
                f"a tensor of shape {list(self.shape)[:MAX_RANK]} does not lie within its storage of "
                f"{self.storage.nbytes} bytes"
            )
        start = self.storage.start + self.offset * width
        raw = np.frombuffer(
            self.storage.blob.bytes(), self.dtype.numpy(self.storage.blob.byte_order), reach - self.offset, start
        )
        view = np.lib.stride_tricks.as_strided(raw, self.shape, [step * width for step in strides], writeable=False)
        if self.dtype.name == "bfloat16":
            return (view.astype(np.uint32) << 16).view(np.float32)
        return view != 0 if self.dtype.name == "bool" else view

    @property
    def nbytes(self) -> int:
        """Bytes of the values once they are float32 or their own type, whichever is more."""
        return math.prod(self.shape) * max(self.dtype.size, 4)


@dataclass(eq=False)
class ModuleClass:
    """The class of a pickled module. One that is not PyTorch's own must prove itself by an instance's state."""

    name: str
    proven: bool


@dataclass(eq=False)
class Module:
    """An instance of a pickled module: its class's name and its state, neither of them alive."""

    kind: ModuleClass
    state: dict[str, Any] = field(default_factory=dict)

    def walk(self) -> Iterator[tuple[str, Module]]:
        """This module and those inside it, with the prefixes of their parts' names.

        Raises:
          Rejected: they are nested too deeply, or too many.
        """
        waiting: list[tuple[str, Module]] = [("", self)]
        for _ in range(MAX_MODULES):
            if not waiting:
                return
            prefix, module = waiting.pop()
            yield prefix, module
            for name, child in module.group("_modules").items():
                if isinstance(child, Module):
                    waiting.append((f"{prefix}{name}.", child))
                elif child is not None:
                    raise Malformed("a module holds something else than modules")
            if len(waiting) > MAX_MODULES or prefix.count(".") > MAX_MODULE_DEPTH:
                break
        raise Rejected(f"has more than {MAX_MODULES:,} modules, or too deeply nested ones; do not trust this file")

    def group(self, name: str) -> dict[str, Any]:
        """One of the dicts that a module keeps its parts in; empty where there is none."""
        group = self.state.get(name, {})
        if type(group) is not dict or len(group) > MAX_PARTS:
            raise Malformed(f"a module's {name} is no dict of at most {MAX_PARTS:,} parts")
        if not all(type(key) is str and len(key) <= MAX_PART_NAME for key in group):
            raise Malformed(f"a module's {name} has something else than names for keys")
        return group

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers under the names of a state dict."""
        found = {}
        for prefix, module in self.walk():
            for group in ("_parameters", "_buffers"):
                for name, value in module.group(group).items():
                    if isinstance(value, Tensor):
                        found[f"{prefix}{name}"] = value
        return found
