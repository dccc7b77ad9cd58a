"""Pickles of PyTorch's checkpoints, interpreted: plain containers, `Tensor`s and `Module`s.

A pickle is a program that may call whatever it names. Nothing of it is run here: `Pickle` interprets the opcodes and
refuses every global that a checkpoint does not need.
"""

from __future__ import annotations

import math
import pickletools
import sys
import zlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from evc_jax.errors import CheckpointError

# The largest checkpoint of the originals has 0.2 MB of pickle and 100,000 opcodes.
MAX_PICKLE_BYTES, MAX_OPCODES = 16 * 2**20, 500_000
MAX_MODULES, MAX_DEPTH, MAX_SHOWN = 20_000, 32, 100
BFLOAT16 = "V2"  # NumPy has none: it is the upper half of a float32
STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": BFLOAT16,
    "ComplexFloatStorage": "c8", "ComplexDoubleStorage": "c16", "LongStorage": "i8", "IntStorage": "i4",
    "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
PYTHON_2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "cPickle": "pickle"}
ORDERED_DICT = "collections.OrderedDict"
# Values that no weight depends on: an empty dict takes their place.
UNUSED = frozenset(
    """builtins.bytearray builtins.bytes builtins.complex builtins.dict builtins.float builtins.frozenset builtins.int
    builtins.list builtins.set collections.defaultdict _codecs.encode numpy.dtype numpy.core.multiarray.scalar
    numpy._core.multiarray.scalar torch.Size torch.device torch.Tensor torch.bfloat16 torch.bool torch.float16
    torch.float32 torch.float64 torch.int8 torch.int16 torch.int32 torch.int64 torch.uint8
    torch.nn.backends.thnn._get_thnn_function_backend""".split()
)
KEY_TYPES = (str, int, float, type(None))
TENSOR, PARAMETERS = "torch._utils._rebuild_tensor", ("torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter")
WITH_ATTRIBUTES = "torch._tensor._rebuild_from_type_v2"


@dataclass(eq=False)
class Storage:
    """Bytes that tensors share, `data` of the file; they are checked when they are first read."""

    nbytes: int
    width: int
    data: memoryview | None = None
    crc: int | None = None
    byte_order: str = "<"

    def bytes(self) -> memoryview:
        """The bytes.

        Raises:
          ValueError: they are not those that were written.
        """
        if self.data is None or (self.crc is not None and zlib.crc32(self.data) != self.crc):
            raise ValueError("a storage is missing or has another checksum than it was written with")
        self.crc = None  # once is enough
        return self.data


@dataclass(frozen=True, eq=False)
class Tensor:
    """A strided view of a storage's values, whose type `code` is NumPy's. Nothing is read before `numpy`."""

    storage: Storage
    code: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the values in their own type or in float32, whichever is more."""
        return math.prod(self.shape) * max(np.dtype(self.code).itemsize, 4)

    def numpy(self) -> np.ndarray:
        """The values: a read-only view of the file where NumPy has the type, a float32 copy of bfloat16."""
        dtype = np.dtype(self.storage.byte_order + self.code.replace("V", "u"))
        values = np.frombuffer(self.storage.bytes(), dtype)[self.offset :]
        strides = [step * dtype.itemsize for step in self.strides]
        values = np.lib.stride_tricks.as_strided(values, self.shape, strides, writeable=False)
        return (values.astype(np.uint32) << 16).view(np.float32) if self.code == BFLOAT16 else values


@dataclass(eq=False)
class Module:
    """A pickled object of any class: the name of the class and its state."""

    name: str
    state: dict[str, Any] = field(default_factory=dict)

    def group(self, name: str) -> dict[str, Any]:
        """One of the dicts that a module keeps its parts in; empty where there is none."""
        group = self.state.get(name, {})
        if not isinstance(group, dict) or not all(isinstance(key, str) and len(key) < MAX_SHOWN for key in group):
            raise ValueError(f"a module's {name} are no parts with names")
        return group

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers under the names of a state dict.

        Raises:
          CheckpointError: modules are nested too deeply, or too many.
        """
        found: dict[str, Tensor] = {}
        waiting = [("", self)]
        for count, (prefix, module) in enumerate(waiting):
            if count > MAX_MODULES or prefix.count(".") > MAX_DEPTH:
                raise CheckpointError(f"has more than {MAX_MODULES:,} modules, or too deeply nested ones")
            parts = {**module.group("_parameters"), **module.group("_buffers")}
            found |= {prefix + name: value for name, value in parts.items() if isinstance(value, Tensor)}
            children = module.group("_modules").items()
            waiting += [(f"{prefix}{name}.", child) for name, child in children if isinstance(child, Module)]
        return found


def printable(text: str) -> str:
    """Text of a file as it may be shown: short, and without control characters."""
    text = text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def require(condition: bool, reason: str) -> None:
    if not condition:
        raise ValueError(reason)


class _Global(NamedTuple):
    """A function or class that a pickle names."""

    name: str


class Pickle:
    """The pickle that begins at `start` of `data`, interpreted.

    Attributes:
      content: the object.
      storages: those that it named, by key; their bytes are yet to be found.
      end: the position behind it.

    Raises:
      ValueError, CheckpointError, ...: it is malformed, too long, or asks for something that could run code.
    """

    def __init__(self, data: memoryview, start: int = 0):
        program = bytes(data[start : start + MAX_PICKLE_BYTES])
        self.content: Any = None
        self.storages: dict[str, Storage] = {}
        self.end = start
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._copies_left = len(program)
        for count, (opcode, argument, position) in enumerate(pickletools.genops(program)):
            if count >= MAX_OPCODES:
                raise CheckpointError(f"has a pickle of more than {MAX_OPCODES:,} opcodes; do not trust it")
            self._step(opcode, argument)
            self.end = start + (position or 0) + 1

    def _step(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        """Takes an opcode's values off the stack and puts what it makes there."""
        stack, name, before = self._stack, opcode.name, opcode.stack_before
        if name == "MARK":
            self._marks.append(len(stack))
            return
        if name == "POP" and self._marks and self._marks[-1] == len(stack):
            self._marks.pop()
            return
        sliced = pickletools.stackslice in before
        start = self._marks.pop() - before.index(pickletools.markobject) if sliced else len(stack) - len(before)
        require(start >= 0, "its pickle takes more values than it has")
        taken = stack[start:]
        del stack[start:]
        self.content = self._made(name, argument, taken)
        stack += [self.content] * len(opcode.stack_after)

    def _made(self, name: str, argument: Any, taken: list[Any]) -> Any:
        match name:
            case "PROTO" | "FRAME":
                return None
            case "POP" | "POP_MARK" | "DUP" | "STOP":
                return taken[-1] if taken else None
            case "PUT" | "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                value = taken[0] if taken else self._stack[-1]
                self._memo[len(self._memo) if taken else argument] = value
                return value
            case "GET" | "BINGET" | "LONG_BINGET":
                return self._memo[argument]
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                return {"NEWTRUE": True, "NEWFALSE": False}.get(name)
            case "EMPTY_TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3" | "TUPLE":
                return tuple(taken)
            case "EMPTY_LIST" | "LIST" | "EMPTY_SET" | "FROZENSET":
                return taken
            case "EMPTY_DICT" | "DICT":
                return _filled({}, taken)
            case "APPEND" | "APPENDS" | "ADDITEMS" | "SETITEM" | "SETITEMS":
                return _filled(taken[0], taken[1:])
            case "GLOBAL":
                return _find(*argument.split(" ", 1))
            case "STACK_GLOBAL":
                return _find(*taken)
            case "PERSID" | "BINPERSID":
                return self._persistent(taken[0] if taken else argument)
            case "INST":
                return self._call(_find(*argument.split(" ", 1)), taken)
            case "REDUCE" | "NEWOBJ":
                return self._call(*taken)
            case "BUILD":
                return _built(*taken)
        require(argument is not None and not name.startswith(("EXT", "NEXT")), f"its pickle holds {name}")
        return argument

    def _call(self, function: Any, values: Any) -> Any:
        """What a global of the file makes of values; nothing is called."""
        require(isinstance(function, _Global), "what makes a value is no function")
        name = function.name
        if name.startswith(TENSOR):
            return _tensor(*values)
        if name.startswith(PARAMETERS):
            require(isinstance(values[0], Tensor), "a parameter is no tensor")
            return values[0]
        if name == WITH_ATTRIBUTES:  # attributes are left out
            return self._call(values[0], values[2])
        if name == ORDERED_DICT:
            pairs = values[0] if values else ()
            # What is written once may be named again and again.
            self._copies_left -= len(pairs)
            require(self._copies_left >= 0, "its dicts hold more than the file")
            return {key: value for key, value in pairs if isinstance(key, KEY_TYPES)}
        if name in UNUSED:
            return {}
        if values:
            raise _forbidden(name)
        return Module(name)

    def _persistent(self, identifier: Any) -> Any:
        """A storage, or the class of a module, whose source the older format kept beside it."""
        match identifier:
            case ("module", kind, *_):
                return kind
            case ("storage", _Global(name), str(key), _, int(count), *view) if count >= 0:
                code = STORAGES[name.rpartition(".")[2]]
                width = np.dtype(code).itemsize
                storage = self.storages.setdefault(key, Storage(count * width, width))
                require(storage.nbytes == count * width, "a storage is declared with two sizes")
                start, length = view[0][1:] if view and view[0] is not None else (0, count)
                require(min(start, length) >= 0 and start + length <= count, "a view reaches past its storage")
                return storage, code, start, length
        raise ValueError("an identifier is neither of a storage nor of a module")


def _find(module: str, name: str) -> _Global:
    """A global that a checkpoint may need.

    Raises:
      CheckpointError: it is none; any other class outside Python's library and PyTorch counts as a module's.
    """
    full = f"{PYTHON_2_MODULES.get(module, module)}.{name}"
    package = full.partition(".")[0]
    foreign = package not in sys.stdlib_module_names and (package != "torch" or full.startswith("torch.nn."))
    known = full in UNUSED or full in (ORDERED_DICT, WITH_ATTRIBUTES) or full.startswith((TENSOR, *PARAMETERS))
    if foreign or known or (module in ("torch", "torch.cuda", "torch.storage") and name in STORAGES):
        return _Global(full)
    raise _forbidden(full)


def _forbidden(name: str) -> CheckpointError:
    return CheckpointError(
        f"asks for {printable(name)}, which is neither a tensor, a plain container nor a PyTorch module; nothing was "
        "executed, do not trust this file"
    )


def _filled(target: Any, values: list[Any]) -> Any:
    """A list and more values, or a dict and more keys and values in turn; sets are lists here.

    Tuples are no keys: to hash nested ones may take exponential time.
    """
    if isinstance(target, dict):
        pairs = zip(values[::2], values[1::2], strict=True)
        target |= {key: value for key, value in pairs if isinstance(key, KEY_TYPES)}
    else:
        require(isinstance(target, list), "its pickle adds to what is no container")
        target += values
    return target


def _built(target: Any, state: Any) -> Any:
    """A module with its state; a dict without its attributes."""
    require(isinstance(target, dict | Module), "its pickle sets the state of what has none")
    if isinstance(target, Module):
        target.state = state if isinstance(state, dict) else {}
    return target


def _tensor(stretch: Any, offset: int, shape: Any, strides: Any, *_: Any) -> Tensor:
    """A tensor, which must lie within its storage and be no larger than it."""
    (storage, code, start, count), shape, strides = stretch, tuple(shape), tuple(strides)
    require(isinstance(storage, Storage) and len(shape) == len(strides) <= 16, "a tensor has no storage or no shape")
    require(all(type(number) is int and number >= 0 for number in (offset, *shape, *strides)), "an impossible shape")
    strides = tuple(0 if size == 1 else step for size, step in zip(shape, strides, strict=True))
    size = math.prod(shape)
    reach = offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True)) + 1 if size else 0
    require(max(size, reach) <= count, f"a tensor of {shape} does not lie within its storage of {count} values")
    return Tensor(storage, code, start + offset, shape, strides)
