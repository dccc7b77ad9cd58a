"""Reads what `torch.save` wrote, as a zip archive or in the older stream format, without PyTorch.

A pickle may call whatever it names. Here it finds only functions that are harmless with any arguments, keeps no tuple
(the hash of nested ones takes exponential time), and sets the state of nothing but inert modules. It is run by
Python's own unpickler, which, unlike the one in C, takes no memory for lengths and memo indices that are only declared.
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple

import ml_dtypes
import numpy as np

from evc_jax.errors import CheckpointError
from evc_jax.torch_import.torch_objects import Module, forbidden, naming

MAGIC_NUMBER, PROTOCOL_VERSION = 0x1950A86A20F9469CFC6C, 1001
# The largest checkpoint of the originals has 0.2 MB of pickle; every opcode may make an object of 100 bytes.
MAX_PICKLE_BYTES = 2**20
STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": ml_dtypes.bfloat16,
    "ComplexFloatStorage": "c8", "ComplexDoubleStorage": "c16", "LongStorage": "i8", "IntStorage": "i4",
    "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
# Values that no weight depends on: they are named and made, and nothing is kept of them.
UNUSED = set(
    """builtins.bytearray builtins.bytes builtins.complex builtins.dict builtins.float builtins.frozenset builtins.int
    builtins.list builtins.set collections.defaultdict _codecs.encode numpy.dtype numpy.core.multiarray.scalar
    numpy._core.multiarray.scalar torch.Size torch.device torch.Tensor torch.bfloat16 torch.bool torch.float16
    torch.float32 torch.float64 torch.int8 torch.int16 torch.int32 torch.int64 torch.uint8
    torch.nn.backends.thnn._get_thnn_function_backend""".split()
)


class TorchFile(NamedTuple):
    """A checkpoint: its path, its size, and what was saved (dicts, lists, numbers, arrays and `Module`s)."""

    path: Path
    content: Any
    nbytes: int


class Storage(NamedTuple):
    """Bytes that tensors share, and their type."""

    data: np.ndarray
    dtype: np.dtype


class _Unpickler(pickle._Unpickler):
    """Runs one pickle; `storages` are those that it named, not filled yet and `nbytes` at most in total."""

    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, program: io.BytesIO, nbytes: int):
        super().__init__(program, encoding="latin-1")
        self.storages: dict[str, Storage] = {}
        self.content: Any = None
        self._bytes_left = nbytes

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a global.

        Raises:
          CheckpointError: a checkpoint needs no such global.
        """
        full = f"{module.replace('__builtin__', 'builtins')}.{name}"  # as Python 2 calls it
        if full in _FUNCTIONS:
            return _FUNCTIONS[full]
        if module in ("torch", "torch.cuda", "torch.storage") and name in STORAGES:
            return name
        package = full.partition(".")[0]
        if package in sys.stdlib_module_names or (package == "torch" and not full.startswith("torch.nn.")):
            raise forbidden(full)
        return functools.partial(Module, full)

    def persistent_load(self, identifier: Any) -> Any:
        """A storage, or the class of a module, whose source the older format kept beside it."""
        match identifier:
            case ["module", kind, *_]:
                return kind
            case ["storage", str(kind), str(key), _, int(count)] | [
                "storage",
                str(kind),
                str(key),
                _,
                int(count),
                None,
            ]:
                dtype = np.dtype(STORAGES[kind])
                if key not in self.storages:
                    self._bytes_left -= count * dtype.itemsize
                    _require(count >= 0 and self._bytes_left >= 0, "it declares more bytes than it has")
                    self.storages[key] = Storage(np.empty(count * dtype.itemsize, np.uint8), dtype)
                _require(self.storages[key].data.size == count * dtype.itemsize, "a storage is declared with two sizes")
                return Storage(self.storages[key].data, dtype)
        raise ValueError("an identifier is neither of a storage nor of a module")

    def _load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        _require(isinstance(target, Module | dict), "the state of something other than a module is set")
        if isinstance(target, Module) and isinstance(state, dict):  # that of a dict is the versions of its modules
            target.state = state

    def _load_dict(self) -> None:
        items = self.pop_mark()
        self.append(dict(zip(items[::2], items[1::2], strict=True)))

    def _load_list(self, length: int) -> None:
        self.stack[-length:] = [self.stack[-length:]]

    def _refuse(self) -> None:
        raise ValueError("it uses an opcode of pickle that no checkpoint needs")

    _loads = pickle._Unpickler.dispatch
    _refused = (pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER)
    # Tuples and sets become lists, which cannot be hashed, and every class is a function.
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **_loads,
        **dict.fromkeys((ord(opcode) for opcode in _refused), _refuse),
        **dict.fromkeys((ord(pickle.TUPLE), ord(pickle.FROZENSET)), _loads[ord(pickle.LIST)]),
        **dict.fromkeys((ord(pickle.EMPTY_TUPLE), ord(pickle.EMPTY_SET)), _loads[ord(pickle.EMPTY_LIST)]),
        ord(pickle.ADDITEMS): _loads[ord(pickle.APPENDS)],
        ord(pickle.TUPLE1): functools.partial(_load_list, length=1),
        ord(pickle.TUPLE2): functools.partial(_load_list, length=2),
        ord(pickle.TUPLE3): functools.partial(_load_list, length=3),
        ord(pickle.NEWOBJ): _loads[ord(pickle.REDUCE)],
        ord(pickle.BUILD): _load_build,
        ord(pickle.DICT): _load_dict,
    }


def read_torch_file(path: str | os.PathLike) -> TorchFile:
    """Reads a checkpoint.

    Raises:
      CheckpointError: there is no such file, it is none of PyTorch's, it is damaged, or it asks for something that
        could run code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give a checkpoint file.")
    nbytes = path.stat().st_size
    if nbytes == 0:
        raise CheckpointError(f"{path} is an empty file; give a checkpoint.")
    with path.open("rb") as file, naming(path):
        read = _read_archive if file.peek(4)[:4] == b"PK\x03\x04" else _read_stream
        return TorchFile(path, read(file, nbytes), nbytes)


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise ValueError(reason)


def _read_archive(file: io.BufferedReader, nbytes: int) -> Any:
    archive = zipfile.ZipFile(file)
    names = archive.namelist()
    found = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    _require(len(found) == 1, "its archive holds no data.pkl, or several")
    root = found[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in names:
        raise CheckpointError("is a TorchScript program, not a checkpoint; save its state_dict with torch.save instead")
    if any(info.compress_type for info in archive.infolist()):
        raise CheckpointError("is compressed, which torch.save never does; save it again with torch.save")
    _require(sum(info.file_size for info in archive.infolist()) <= nbytes, "its archive is cut short")
    if f"{root}byteorder" in names and archive.read(f"{root}byteorder") == b"big":
        raise CheckpointError("was saved on a big-endian machine; save it again on another")
    unpickler = _run(archive.open(found[0]), nbytes)
    for key, storage in unpickler.storages.items():
        entry = archive.read(f"{root}data/{key}")
        _require(len(entry) == storage.data.size, f"storage {key} is of another size than declared")
        storage.data[:] = np.frombuffer(entry, np.uint8)
    return unpickler.content


def _read_stream(file: io.BufferedReader, nbytes: int) -> Any:
    """Magic number, version, facts about the writer, the object, keys of the storages, the storages."""
    if file.peek(262)[257:262] == b"ustar":
        raise CheckpointError("is a tar archive, PyTorch's format before 2017; save it again with a PyTorch of today")
    try:
        _require(_run(file, 0).content == MAGIC_NUMBER, "another magic number")
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError("is no checkpoint that torch.save wrote; give one of the original systems'") from error
    _require(_run(file, 0).content == PROTOCOL_VERSION, "it is of an unknown version of PyTorch's older format")
    _run(file, 0)
    unpickler = _run(file, nbytes)
    for key in _run(file, 0).content:
        storage = unpickler.storages.pop(key)
        count = int.from_bytes(file.read(8), "little")
        _require(count * storage.dtype.itemsize == storage.data.size, f"storage {key} is of another size than declared")
        _require(file.readinto(storage.data.data) == storage.data.size, "it ends before its last storage")
    _require(not unpickler.storages, "it lacks some of its storages")
    return unpickler.content


def _run(file: IO[bytes], nbytes: int) -> _Unpickler:
    """Runs the pickle at the file's position, which is then the one behind it."""
    start = file.tell()
    program = io.BytesIO(file.read(MAX_PICKLE_BYTES))
    unpickler = _Unpickler(program, nbytes)
    try:
        unpickler.content = unpickler.load()
    except Exception:
        if program.tell() == MAX_PICKLE_BYTES:
            raise CheckpointError(f"has a pickle of more than {MAX_PICKLE_BYTES:,} bytes; do not trust it") from None
        raise
    file.seek(start + program.tell())
    return unpickler


def _dict(pairs: list | None = None) -> dict:
    made = dict(pairs or ())
    if pairs:
        pairs.clear()  # what is written once may be named again and again
    return made


def _tensor(storage: Any, offset: int, shape: list[int], strides: list[int], *_: Any) -> np.ndarray:
    """A view, of which NumPy checks that it lies within its storage."""
    _require(isinstance(storage, Storage), "a tensor has no storage")
    width = storage.dtype.itemsize
    made = np.ndarray(shape, storage.dtype, storage.data, offset * width, [stride * width for stride in strides])
    made.flags.writeable = False
    return made


def _parameter(data: Any, *_: Any) -> np.ndarray:
    _require(isinstance(data, np.ndarray), "a parameter is no tensor")
    return data


_FUNCTIONS = {
    **dict.fromkeys(UNUSED, lambda *_: {}),
    "collections.OrderedDict": _dict,
    **dict.fromkeys(("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"), _tensor),
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    # A tensor with attributes of its own, which are left out.
    "torch._tensor._rebuild_from_type_v2": lambda function, kind, values, *_: function(*values),
}
