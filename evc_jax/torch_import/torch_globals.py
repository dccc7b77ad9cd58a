"""The globals that a checkpoint may name, and what they mean here: inert stand-ins, never the things themselves."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from evc_jax.torch_import.rejection import Forbidden, Malformed, Rejected
from evc_jax.torch_import.torch_objects import (
    DTYPES,
    MAX_RANK,
    STORAGE_TYPES,
    Blob,
    DType,
    Module,
    ModuleClass,
    Storage,
    Tensor,
)

MAX_ARGUMENTS = 16
# Calls may copy what the memo holds once, again and again: together they may copy this many items or bytes.
MAX_COPIED = 16 * 2**20
PYTHON_2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "cPickle": "pickle"}
STORAGE_MODULES = ("torch", "torch.cuda", "torch.storage")
# PyTorch's own classes that occur in pickled modules; all the rest of its package is refused.
MODULE_PACKAGES = ("torch.nn.modules.", "torch.nn.parallel.")
MODULE_HOOKS = ("torch.nn.utils.weight_norm.WeightNorm", "torch.nn.utils.spectral_norm.SpectralNorm")
# Nobody's own module class lives here. (Names of the standard library are refused anyway.)
FOREIGN_PACKAGES = ("torch", "torchvision", "torchaudio", "numpy", "scipy", "pandas", "jax", "evc_jax", "builtins")
NUMPY_CODES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")
MODULE_GROUPS = ("_parameters", "_buffers", "_modules")


@dataclass(frozen=True, eq=False)
class Callee:
    """A global that may be called, by what it does here; None for a type that is only ever named."""

    name: str
    action: Callable[..., Any] | None = None


@dataclass(frozen=True)
class StorageType:
    """A class of storages."""

    dtype: DType


@dataclass(eq=False)
class ScalarType:
    """A NumPy type for scalars."""

    dtype: np.dtype


class TorchGlobals:
    """`pickle_machine.Meaning` of one checkpoint."""

    def __init__(self) -> None:
        self.blobs: dict[str, Blob] = {}
        self._classes: dict[str, ModuleClass] = {}
        self._copied = 0

    def find_global(self, module: str, name: str) -> Any:
        """The stand-in of a global.

        Raises:
          Forbidden: it is none that a checkpoint needs.
        """
        module = PYTHON_2_MODULES.get(module, module)
        full = f"{module}.{name}"
        if full in _KNOWN:
            return _KNOWN[full]
        if module in STORAGE_MODULES and name in STORAGE_TYPES:
            return StorageType(DType(STORAGE_TYPES[name]))
        plain = all(part.isidentifier() and not part.startswith("__") for part in name.split("."))
        ours = full.startswith(MODULE_PACKAGES) or full in MODULE_HOOKS
        package = module.partition(".")[0]
        if not plain or (not ours and (package in sys.stdlib_module_names or package in FOREIGN_PACKAGES)):
            raise Forbidden(full)
        return self._classes.setdefault(full, ModuleClass(full, proven=ours))

    def call(self, function: Any, arguments: Any) -> Any:
        """The result of a call that stands in for what PyTorch would have done."""
        if not isinstance(function, Callee) or function.action is None:
            raise _uncallable(function)
        if type(arguments) is not tuple or len(arguments) > MAX_ARGUMENTS:
            raise Malformed(f"{function.name} is called with no tuple of arguments")
        try:
            return function.action(self, *arguments)
        except (TypeError, ValueError, OverflowError) as error:
            raise Malformed(f"{function.name} is called with what it does not take") from error

    def create(self, kind: Any, arguments: Any) -> Any:
        """A module without state."""
        if not isinstance(kind, ModuleClass):
            raise _uncallable(kind)
        if type(arguments) is not tuple or arguments:
            raise Forbidden(kind.name)
        return Module(kind)

    def set_state(self, target: Any, state: Any) -> None:
        """Keeps a module's state. An OrderedDict's attributes (versions of its modules) are left out."""
        if isinstance(target, Module) and type(state) is dict:
            if all(type(state.get(group)) is dict for group in MODULE_GROUPS):
                target.kind.proven = True
            target.state = state
        elif isinstance(target, ScalarType):
            _set_byte_order(target, state)
        elif type(target) is not dict or type(state) is not dict:
            raise Malformed(f"the state of a {type(target).__name__} is set to a {type(state).__name__}")

    def load_persistent(self, identifier: Any) -> Any:
        """A storage, or the class of a module, whose source the older format kept beside it."""
        if type(identifier) is not tuple or not 2 <= len(identifier) <= 6:
            raise Malformed("an identifier of a storage is no tuple")
        if identifier[0] == "module" and isinstance(identifier[1], ModuleClass):
            return identifier[1]
        if identifier[0] != "storage" or not isinstance(identifier[1], StorageType) or len(identifier) < 5:
            raise Malformed("an identifier is neither of a storage nor of a module")
        _, kind, key, _, count = identifier[:5]
        blob = self._blob(kind.dtype, _is(key, str), _natural(count))
        view = identifier[5] if len(identifier) == 6 else None
        if view is None:
            return Storage(blob, kind.dtype, 0, blob.nbytes)
        if type(view) is not tuple or len(view) != 3:
            raise Malformed("a view of a storage is no tuple")
        start, length = (_natural(number) * kind.dtype.size for number in view[1:])
        if start + length > blob.nbytes:
            raise Malformed("a view reaches past its storage")
        return Storage(blob, kind.dtype, start, length)

    def finish(self) -> None:
        """What can only be told at the end.

        Raises:
          Forbidden: a class was named of which no instance was a module.
        """
        for kind in self._classes.values():
            if not kind.proven:
                raise Forbidden(kind.name)

    def _blob(self, dtype: DType, key: str, count: int) -> Blob:
        blob = self.blobs.setdefault(key, Blob(key, dtype, count))
        if blob.nbytes != count * dtype.size:
            raise Malformed(f"storage {key!a:.40} is declared with two sizes")
        return blob

    def spend(self, amount: int) -> None:
        """Pays for copying; what is stored once may be copied again and again."""
        self._copied += amount
        if self._copied > MAX_COPIED:
            raise Rejected("unfolds to far more than its own size, as an archive bomb does; do not trust this file")


def _uncallable(function: Any) -> Rejected:
    name = getattr(function, "name", None)
    if isinstance(function, Callee | ModuleClass | DType):
        return Forbidden(name)
    return Malformed(f"a {type(function).__name__} is called")


def _is(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise Malformed(f"it has a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _natural(value: Any) -> int:
    if not 0 <= _is(value, int) < 2**62:
        raise Malformed("it has an impossible size")
    return value


def _tensor(meaning: TorchGlobals, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    return _typed_tensor(meaning, storage, offset, size, stride, None, None, _is(storage, Storage).dtype)


def _typed_tensor(
    meaning: TorchGlobals,
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    dtype: Any,
    *rest: Any,
) -> Tensor:
    shape, strides = _sizes(meaning, size), _sizes(meaning, stride)
    if len(shape) != len(strides):
        raise Malformed("a tensor has more sizes than strides, or fewer")
    return Tensor(_is(storage, Storage), _is(dtype, DType), _natural(offset), shape, strides)


def _parameter(meaning: TorchGlobals, data: Any, *rest: Any) -> Tensor:
    return _is(data, Tensor)


def _from_type(meaning: TorchGlobals, function: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """A tensor with attributes of its own, which are left out."""
    if not isinstance(function, Callee) or function.action not in (_tensor, _typed_tensor, _parameter):
        raise _uncallable(function)
    return meaning.call(function, arguments)


def _sizes(meaning: TorchGlobals, values: Any) -> tuple[int, ...]:
    if type(values) not in (tuple, list) or len(values) > MAX_RANK:
        raise Malformed("a shape is no tuple of numbers")
    return tuple(_natural(value) for value in values)


def _dict(meaning: TorchGlobals, pairs: Any = ()) -> dict[Any, Any]:
    meaning.spend(len(pairs))
    if type(pairs) is dict:
        return dict(pairs)
    if type(pairs) not in (list, tuple) or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise TypeError("not pairs")
    _flat(meaning, [key for key, _ in pairs])
    return {key: value for key, value in pairs}


def _flat(meaning: TorchGlobals, items: Any = ()) -> set:
    meaning.spend(len(items))
    if type(items) not in (list, tuple, set) or not all(type(item) in _SCALARS for item in items):
        raise TypeError("not plain")
    return set(items)


def _encode(meaning: TorchGlobals, data: Any = b"", encoding: Any = "latin1") -> bytes:
    meaning.spend(len(data))
    if type(data) is bytes:
        return data
    if encoding not in ("latin1", "latin-1"):
        raise ValueError("another encoding")
    return _is(data, str).encode("latin-1")


def _complex(meaning: TorchGlobals, real: Any, imaginary: Any) -> complex:
    return complex(_is(real, float), _is(imaginary, float))


def _scalar_type(meaning: TorchGlobals, code: Any, *rest: Any) -> ScalarType:
    if _is(code, str) not in NUMPY_CODES:
        raise Forbidden(f"the NumPy type {code}")
    return ScalarType(np.dtype(code))


def _scalar(meaning: TorchGlobals, kind: Any, data: Any) -> float | bool:
    dtype = _is(kind, ScalarType).dtype
    if len(_is(data, bytes)) != dtype.itemsize:
        raise Malformed("a NumPy scalar has another size than its type")
    return np.frombuffer(data, dtype)[0].item()


def _set_byte_order(target: ScalarType, state: Any) -> None:
    order = state[1] if type(state) is tuple and len(state) > 1 else None
    if order not in ("<", ">", "|", "="):
        raise Malformed("a NumPy type has no byte order")
    target.dtype = target.dtype.newbyteorder(order)


_SCALARS = (str, int, float, bool, type(None))
_ACTIONS: dict[str, Callable[..., Any] | None] = {
    "collections.OrderedDict": _dict,
    "collections.defaultdict": lambda meaning, factory=None, pairs=(): _dict(meaning, pairs),
    "builtins.set": _flat,
    "builtins.frozenset": lambda meaning, items=(): frozenset(_flat(meaning, items)),
    "builtins.bytearray": _encode,
    "builtins.bytes": lambda meaning: b"",
    "builtins.complex": _complex,
    "_codecs.encode": _encode,
    "torch.Size": _sizes,
    "torch.device": lambda meaning, kind, index=0: _is(kind, str),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.nn.parameter.Parameter": _parameter,
    "torch.nn.backends.thnn._get_thnn_function_backend": lambda meaning: None,
    "numpy.dtype": _scalar_type,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    # Types that are only ever named: what a defaultdict makes, what a tensor is.
    **dict.fromkeys(("builtins.dict", "builtins.list", "builtins.int", "builtins.float", "torch.Tensor")),
}
_KNOWN: dict[str, Any] = {name: Callee(name, action) for name, action in _ACTIONS.items()}
_KNOWN.update({f"torch.{name}": DType(name) for name in DTYPES})
