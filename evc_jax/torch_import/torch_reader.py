"""Reads what `torch.save` wrote, as a zip archive or in the older stream format, without PyTorch.

A pickle may call whatever it names. Here it finds only immutable stand-ins that are harmless with any arguments; its
opcodes are inspected before it is run; and what it declares is held against the file's size before memory is taken.
"""

from __future__ import annotations

import io
import math
import mmap
import os
import pickle
import pickletools
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evc_jax.errors import CheckpointError
from evc_jax.torch_import.torch_objects import BFLOAT16, Dict, Module, Storage, Tensor, forbidden, naming, printable

MAGIC_NUMBER, PROTOCOL_VERSION = 0x1950A86A20F9469CFC6C, 1001
# The largest checkpoint of the originals has 0.2 MB of pickle and 100,000 opcodes.
MAX_PICKLE_BYTES, MAX_OPCODES = 16 * 2**20, 500_000
# Hashing a tuple recurses without a limit, and takes exponential time where parts are shared.
MAX_TUPLE = 1_000
MAX_CLASSES = 1_000
STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": BFLOAT16,
    "ComplexFloatStorage": "c8", "ComplexDoubleStorage": "c16", "LongStorage": "i8", "IntStorage": "i4",
    "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
PYTHON_2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "cPickle": "pickle"}
# Values that no weight depends on: they are named and made, and nothing is kept of them.
UNUSED = set(
    """builtins.bytearray builtins.bytes builtins.complex builtins.dict builtins.float builtins.frozenset builtins.int
    builtins.list builtins.set collections.defaultdict _codecs.encode numpy.dtype numpy.core.multiarray.scalar
    numpy._core.multiarray.scalar torch.Size torch.device torch.Tensor torch.bfloat16 torch.bool torch.float16
    torch.float32 torch.float64 torch.int8 torch.int16 torch.int32 torch.int64 torch.uint8
    torch.nn.backends.thnn._get_thnn_function_backend""".split()
)


class TorchFile(NamedTuple):
    """A checkpoint: its path, its size, and what was saved (dicts, lists, numbers, `Tensor`s and `Module`s)."""

    path: Path
    content: Any
    nbytes: int


class _Function:
    """A global that may be called. Unlike a function it has no attributes for a pickle to set."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable):
        self._call = call

    def __call__(self, *values: Any) -> Any:
        return self._call(*values)

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a function has no state")


class _Unpickler(pickle.Unpickler):
    """Runs one pickle, whose opcodes `_inspect` has seen; `storages` are those that it named."""

    def __init__(self, program: bytes):
        super().__init__(io.BytesIO(program), encoding="latin-1")
        self.storages: dict[str, Storage] = {}
        self.content: Any = None
        self._classes: dict[str, type[Module]] = {}
        self._copies_left = len(program)

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of a global.

        Raises:
          CheckpointError: a checkpoint needs no such global.
        """
        full = f"{PYTHON_2_MODULES.get(module, module)}.{name}"
        if full == "collections.OrderedDict":
            return _Function(self._dict)
        if full in _FUNCTIONS:
            return _FUNCTIONS[full]
        if module in ("torch", "torch.cuda", "torch.storage") and name in STORAGES:
            return STORAGES[name]
        package = full.partition(".")[0]
        if package in sys.stdlib_module_names or (package == "torch" and not full.startswith("torch.nn.")):
            raise forbidden(full)
        if full not in self._classes:
            _require(len(self._classes) < MAX_CLASSES, f"it names more than {MAX_CLASSES:,} classes")
            self._classes[full] = type("Module", (Module,), {"__slots__": (), "name": full})
        return self._classes[full]

    def persistent_load(self, identifier: Any) -> Any:
        """A storage, or the class of a module, whose source the older format kept beside it."""
        match identifier:
            case ("module", kind, *_):
                return kind
            case ("storage", str(code), str(key), _, int(count), *view) if code in STORAGES.values() and count >= 0:
                width = np.dtype(code).itemsize
                storage = self.storages.setdefault(key, Storage(count * width, width))
                _require(storage.nbytes == count * width, "a storage is declared with two sizes")
                start, length = view[0][1:] if view and view[0] is not None else (0, count)
                _require(min(start, length) >= 0 and start + length <= count, "a view reaches past its storage")
                return storage, code, start, length
        raise ValueError("an identifier is neither of a storage nor of a module")

    def _dict(self, pairs: Any = ()) -> Dict:
        # What is written once may be named again and again.
        self._copies_left -= len(pairs)
        _require(self._copies_left >= 0, "its dicts hold more than the file")
        return Dict(pairs)


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


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise ValueError(reason)


def _read_archive(file: Any, data: memoryview) -> Any:
    archive = zipfile.ZipFile(file)
    names = archive.namelist()
    found = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    _require(len(found) == 1, "its archive holds no data.pkl, or several")
    root = found[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in names:
        raise CheckpointError("is a TorchScript program, not a checkpoint; save its state_dict with torch.save instead")
    big = f"{root}byteorder" in names and bytes(_stored(archive, data, f"{root}byteorder").bytes()) == b"big"
    unpickler, _ = _run(_stored(archive, data, found[0]).bytes())
    for key, storage in unpickler.storages.items():
        stored = _stored(archive, data, f"{root}data/{key}")
        _require(stored.nbytes == storage.nbytes, f"storage {key} is of another size than declared")
        storage.data, storage.crc, storage.byte_order = stored.data, stored.crc, ">" if big else "<"
    return unpickler.content


def _stored(archive: zipfile.ZipFile, data: memoryview, name: str) -> Storage:
    """An entry as a stretch of the file; PyTorch compresses none, and so nothing is ever unpacked."""
    info = archive.getinfo(name)
    if info.compress_type or info.flag_bits & 1 or info.file_size != info.compress_size:
        raise CheckpointError(f"holds {printable(name)} compressed or encrypted; save it again with torch.save")
    start = info.header_offset + 30 + sum(struct.unpack_from("<2H", data, info.header_offset + 26))
    _require(0 <= start <= len(data) - info.file_size, "its archive is cut short")
    return Storage(info.file_size, 1, data[start : start + info.file_size], info.CRC)


def _read_stream(data: memoryview) -> Any:
    """Magic number, version, facts about the writer, the object, keys of the storages, the storages."""
    if bytes(data[257:262]) == b"ustar":
        raise CheckpointError("is a tar archive, PyTorch's format before 2017; save it again with a PyTorch of today")
    try:
        header, position = _run(data)
        _require(header.content == MAGIC_NUMBER, "another magic number")
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError("is no checkpoint that torch.save wrote; give one of the original systems'") from error
    version, position = _run(data, position)
    _require(version.content == PROTOCOL_VERSION, "it is of an unknown version of PyTorch's older format")
    _, position = _run(data, position)
    unpickler, position = _run(data, position)
    keys, position = _run(data, position)
    _require(sorted(keys.content) == sorted(unpickler.storages), "it lists other storages than it uses")
    for key in keys.content:
        storage = unpickler.storages[key]
        (count,) = struct.unpack_from("<q", data, position)
        _require(count * storage.width == storage.nbytes, f"storage {key} is of another size than declared")
        storage.data = data[position + 8 : position + 8 + storage.nbytes]
        _require(len(storage.data) == storage.nbytes, "it ends before its last storage")
        position += 8 + storage.nbytes
    return unpickler.content


def _run(data: memoryview, start: int = 0) -> tuple[_Unpickler, int]:
    """Runs the pickle that begins at `start`: the unpickler with its `content`, and the position behind it."""
    program = bytes(data[start : start + MAX_PICKLE_BYTES])
    end = _inspect(program)
    unpickler = _Unpickler(program[:end])
    unpickler.content = unpickler.load()
    return unpickler, start + end


def _inspect(program: bytes) -> int:
    """Where a pickle ends. Nothing is run; the stack is followed only for how many parts its tuples have in total.

    Python's own unpickler takes memory for the lengths and the memo indices that a program names, hashes any key, and
    finds extensions without `find_class`.

    Raises:
      ValueError, CheckpointError: the program is malformed, or asks for that.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    argument: Any
    end = 0
    for count, (opcode, argument, position) in enumerate(pickletools.genops(program)):
        end = (position or 0) + 1
        name, before = opcode.name, opcode.stack_before
        if count >= MAX_OPCODES or (name.endswith("PUT") and argument >= MAX_OPCODES):
            raise CheckpointError(f"has a pickle of more than {MAX_OPCODES:,} opcodes or memo entries; do not trust it")
        _require(not name.startswith("EXT"), f"its pickle holds {name}")
        if name == "MARK" or (name == "POP" and marks and marks[-1] == len(stack)):
            marks.append(len(stack)) if name == "MARK" else marks.pop()
            continue
        sliced = pickletools.stackslice in before
        start = marks.pop() - before.index(pickletools.markobject) if sliced else len(stack) - len(before)
        _require(start >= 0, "its pickle takes more values than it has")
        taken, parts = stack[start:], 1
        del stack[start:]
        if name.startswith("TUPLE"):
            parts += sum(taken)
        elif name.endswith("GET"):
            parts = memo.get(argument, 1)
        elif taken:
            parts = taken[0]
        _require(parts <= MAX_TUPLE, f"its pickle has a tuple of more than {MAX_TUPLE} parts in total")
        stack += [parts] * len(opcode.stack_after)
        if name.endswith("PUT") or name == "MEMOIZE":
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
    return end


def _tensor(stretch: Any, offset: int, shape: Any, strides: Any, *_: Any) -> Tensor:
    """A tensor, which must lie within its storage and be no larger than it."""
    (storage, code, start, count), shape, strides = stretch, tuple(shape), tuple(strides)
    _require(isinstance(storage, Storage) and len(shape) == len(strides) <= 16, "a tensor has no storage or no shape")
    _require(all(type(number) is int and number >= 0 for number in (offset, *shape, *strides)), "an impossible shape")
    strides = tuple(0 if size == 1 else step for size, step in zip(shape, strides, strict=True))
    size = math.prod(shape)
    reach = offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True)) + 1 if size else 0
    _require(max(size, reach) <= count, f"a tensor of {shape} does not lie within its storage of {count} values")
    return Tensor(storage, code, start + offset, shape, strides)


def _parameter(data: Any, *_: Any) -> Tensor:
    _require(isinstance(data, Tensor), "a parameter is no tensor")
    return data


def _with_attributes(function: Any, kind: Any, values: Any, *_: Any) -> Any:
    """A tensor with attributes of its own, which are left out."""
    _require(isinstance(function, _Function), "what makes a tensor is no function")
    return function(*values)


_FUNCTIONS = {
    **dict.fromkeys(UNUSED, _Function(lambda *_: Dict())),
    **dict.fromkeys(("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"), _Function(_tensor)),
    "torch._utils._rebuild_parameter": _Function(_parameter),
    "torch._utils._rebuild_parameter_with_state": _Function(_parameter),
    "torch.nn.parameter.Parameter": _Function(_parameter),
    "torch._tensor._rebuild_from_type_v2": _Function(_with_attributes),
}
