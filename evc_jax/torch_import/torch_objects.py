"""What a PyTorch checkpoint is made of, as inert stand-ins, and the sentences with which one is refused."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evc_jax.errors import CheckpointError

MAX_MODULES, MAX_DEPTH, MAX_SHOWN = 20_000, 32, 100
# NumPy has no bfloat16: it is the upper half of a float32.
BFLOAT16 = "V2"


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

    def __setstate__(self, state: Any) -> None:
        """A pickle may set the state of whatever it made; that would undo the check of the sizes."""
        raise ValueError("the state of a tensor is set")

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


class Dict(dict):
    """An OrderedDict without its attributes."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Leaves out what is set (state dicts keep their modules' versions there)."""


class Module:
    """A pickled object of any class: its state, and nothing that could run. `find_class` makes a class for each."""

    __slots__ = ("state",)
    name = ""

    def __new__(cls, *values: Any, **options: Any) -> Module:
        if values or options:
            raise forbidden(cls.name)
        made = super().__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

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
        found: dict[str, Any] = {}
        waiting = [("", self)]
        for count, (prefix, module) in enumerate(waiting):
            if count > MAX_MODULES or prefix.count(".") > MAX_DEPTH:
                raise CheckpointError(f"has more than {MAX_MODULES:,} modules, or too deeply nested ones")
            parts = {**module.group("_parameters"), **module.group("_buffers")}
            found |= {prefix + name: value for name, value in parts.items() if isinstance(value, Tensor)}
            children = module.group("_modules").items()
            waiting += [(f"{prefix}{name}.", child) for name, child in children if isinstance(child, Module)]
        return found


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turns whatever a foreign file makes fail into one sentence that begins with the file's name."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{path} {error}.") from error
    except Exception as error:  # the unpickler and zipfile raise almost anything
        reason = printable(str(error) or type(error).__name__)
        raise CheckpointError(
            f"{path} is damaged or no PyTorch checkpoint: {reason}; copy it again from where it was made."
        ) from error


def printable(text: str) -> str:
    """Text of a file as it may be shown: short, and without control characters."""
    text = text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def forbidden(name: str) -> CheckpointError:
    """What to raise where a file asks for something that could run code."""
    return CheckpointError(
        f"asks for {printable(name)}, which is neither a tensor, a plain container nor a PyTorch module; nothing was "
        "executed, do not trust this file"
    )
