"""Finding the state dict in a checkpoint of the originals, whatever it is wrapped in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evc_jax.errors import CheckpointError
from evc_jax.torch_import.rejection import naming, printable
from evc_jax.torch_import.torch_objects import Module, Tensor
from evc_jax.torch_import.torch_reader import TorchFile

# Where the originals keep what matters: SpeechSplit and WaveGlow, Resemblyzer, NVIDIA's other repositories.
WRAPPERS = ("model", "model_state", "state_dict")
STEPS = ("iteration", "step")
PARALLEL_PREFIX = "module."
# No tensor that a float32 copy makes larger than this times the file is in it only once.
MAX_GROWTH = 4
MAX_SHOWN = 5


@dataclass(frozen=True)
class OriginalState:
    """The tensors of one network.

    Attributes:
      tensors: by name.
      upsample_stride: of a whole pickled WaveGlow; None where the file does not tell.
      step: how long it was trained; 0 where neither the file nor its name tells.
      ignored: top-level entries of the file that are not used.
    """

    tensors: Mapping[str, Tensor]
    upsample_stride: int | None
    step: int
    ignored: tuple[str, ...]


def find_state(file: TorchFile) -> OriginalState:
    """The state dict of a checkpoint.

    Raises:
      CheckpointError: there is none.
    """
    content, ignored = file.content, ()
    if type(content) is dict:
        wrapper = next((key for key in WRAPPERS if isinstance(content.get(key), dict | Module)), None)
        if wrapper is not None:
            ignored = tuple(printable(str(key)) for key in content if key != wrapper and isinstance(key, str))
            content = content[wrapper]
    with naming(file.path):
        tensors = content.tensors() if isinstance(content, Module) else content
    if type(tensors) is not dict or not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise CheckpointError(
            f"{file.path} holds no state dict, neither as it is nor under {', '.join(WRAPPERS)}; give a checkpoint of "
            "the original systems."
        )
    if not all(type(name) is str for name in tensors):
        raise CheckpointError(f"{file.path} holds tensors without names; give a checkpoint of the original systems.")
    if all(name.startswith(PARALLEL_PREFIX) for name in tensors):
        tensors = {name.removeprefix(PARALLEL_PREFIX): value for name, value in tensors.items()}
    return OriginalState(tensors, _stride(content), _step(file), ignored)


def read_values(file: TorchFile, tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The values of tensors; those of any floating-point type as float32.

    Raises:
      CheckpointError: a tensor is damaged, or the same bytes are used so often that they no longer fit.
    """
    if sum(tensor.nbytes for tensor in tensors.values()) > MAX_GROWTH * file.nbytes:
        raise CheckpointError(
            f"{file.path} declares tensors of more than {MAX_GROWTH} times its own size; do not trust this file."
        )
    values = {}
    with naming(file.path):
        for name, tensor in tensors.items():
            value = tensor.numpy()
            values[name] = np.asarray(value, np.float32) if value.dtype.kind == "f" else value
    return values


def check_values(file: TorchFile, state: Mapping[str, np.ndarray], expected: set[str], optional: str) -> list[str]:
    """Holds a network's tensors against what it has to have.

    Args:
      file: whose tensors they are.
      state: the tensors.
      expected: names of the weights.
      optional: a pattern of names that may be there and are not used.

    Returns:
      the names that are not used.

    Raises:
      CheckpointError: tensors that the network does not know, or weights that are not finite numbers.
    """
    others = sorted(name for name in state if name not in expected)
    unknown = [name for name in others if not re.fullmatch(optional, name)]
    if unknown:
        raise CheckpointError(
            f"{file.path} holds {len(unknown)} tensors that this network does not know ({shown(unknown)}); give a "
            "checkpoint of the original network."
        )
    bad = sorted(name for name in expected & set(state) if not _finite(state[name]))
    if bad:
        raise CheckpointError(f"{file.path} holds weights that are no finite numbers ({shown(bad)}); give another.")
    return others


def shown(names: list[str]) -> str:
    """The first names of a list."""
    listed = ", ".join(printable(name) for name in names[:MAX_SHOWN])
    return f"{listed}, ..." if len(names) > MAX_SHOWN else listed


def scalar(state: Mapping[str, np.ndarray], name: str) -> int | None:
    """A whole number that is kept as a tensor; None where it is not there."""
    value = state.get(name)
    return int(value.reshape(-1)[0]) if value is not None and value.dtype.kind in "iu" else None


def _finite(value: np.ndarray) -> bool:
    return value.dtype.kind == "f" and bool(np.isfinite(value).all())


def _stride(content: Any) -> int | None:
    if not isinstance(content, Module):
        return None
    upsample = content.group("_modules").get("upsample")
    stride = upsample.state.get("stride") if isinstance(upsample, Module) else None
    plain = type(stride) is tuple and len(stride) == 1 and type(stride[0]) is int
    return stride[0] if plain and 0 < stride[0] < 2**16 else None


def _step(file: TorchFile) -> int:
    candidates = [file.content.get(key) for key in STEPS] if type(file.content) is dict else []
    named = re.match(r"(?:.*[-_])?(\d{1,12})(?:-[GDP])?(?:\.\w+)?$", file.path.name)
    candidates += [int(named.group(1))] if named else []
    numbers = (int(c) for c in candidates if type(c) in (int, float) and math.isfinite(c))
    return next((number for number in numbers if 0 <= number < 10**12), 0)
