"""Finding the state dict in a checkpoint of the originals, whatever it is wrapped in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from evc_jax.errors import CheckpointError
from evc_jax.torch_import.torch_objects import Module, naming, printable
from evc_jax.torch_import.torch_reader import TorchFile

# Where the originals keep what matters: SpeechSplit and WaveGlow, Resemblyzer, NVIDIA's other repositories.
WRAPPERS = ("model", "model_state", "state_dict")
PARALLEL_PREFIX = "module."
# No tensor that a float32 copy makes larger than this times the file is in it only once.
MAX_GROWTH = 4
MAX_SHOWN = 5


class OriginalState(NamedTuple):
    """The tensors of one network.

    Attributes:
      values: by name; those of any floating-point type are float32.
      upsample_stride: of a whole pickled WaveGlow; None where the file does not tell.
      step: how long it was trained; 0 where neither the file nor its name tells.
      ignored: top-level entries of the file that are not used.
    """

    values: dict[str, np.ndarray]
    upsample_stride: int | None
    step: int
    ignored: tuple[str, ...]


def read_state(file: TorchFile) -> OriginalState:
    """The state dict of a checkpoint.

    Raises:
      CheckpointError: there is none, it is damaged, or it needs far more memory than the file has bytes.
    """
    with naming(file.path):
        content: Any = file.content
        ignored: tuple[str, ...] = ()
        wrapper = next((key for key in WRAPPERS if isinstance(_entry(content, key), dict | Module)), None)
        if wrapper is not None:
            ignored = tuple(printable(key) for key in content if key != wrapper and isinstance(key, str))
            content = content[wrapper]
        tensors = content.tensors() if isinstance(content, Module) else content
        if not tensors or not isinstance(tensors, dict) or not all(isinstance(v, np.ndarray) for v in tensors.values()):
            raise CheckpointError(
                f"holds no state dict, neither as it is nor under {', '.join(WRAPPERS)}; give a checkpoint of the "
                "original systems"
            )
        if not all(isinstance(name, str) for name in tensors):
            raise CheckpointError("holds tensors without names; give a checkpoint of the original systems")
        if sum(tensor.size * max(tensor.itemsize, 4) for tensor in tensors.values()) > MAX_GROWTH * file.nbytes:
            raise CheckpointError(f"declares tensors of more than {MAX_GROWTH} times its own size; do not trust it")
        if all(name.startswith(PARALLEL_PREFIX) for name in tensors):
            tensors = {name.removeprefix(PARALLEL_PREFIX): value for name, value in tensors.items()}
        # The kind of bfloat16 is V.
        floats = {name: np.asarray(value, np.float32) for name, value in tensors.items() if value.dtype.kind in "fV"}
        return OriginalState(tensors | floats, _stride(content), _step(file), ignored)


def check_values(state: Mapping[str, np.ndarray], expected: set[str], optional: str) -> list[str]:
    """Holds a network's tensors against what it has to have.

    Args:
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
            f"it holds {len(unknown)} tensors that this network does not know ({shown(unknown)}); give a checkpoint of "
            "the original network."
        )
    weights = {name: state[name] for name in sorted(expected & set(state))}
    bad = [name for name, value in weights.items() if value.dtype.kind != "f" or not np.isfinite(value).all()]
    if bad:
        raise CheckpointError(f"it holds weights that are no finite numbers ({shown(bad)}); give another.")
    return others


def shown(names: list[str]) -> str:
    """The first names of a list."""
    listed = ", ".join(printable(name) for name in names[:MAX_SHOWN])
    return f"{listed}, ..." if len(names) > MAX_SHOWN else listed


def _entry(content: Any, key: str) -> Any:
    return content.get(key) if isinstance(content, dict) else None


def _stride(content: Any) -> int | None:
    upsample = content.group("_modules").get("upsample") if isinstance(content, Module) else None
    match upsample.state.get("stride") if isinstance(upsample, Module) else None:
        case (int(stride),) if 0 < stride < 2**16:
            return stride
    return None


def _step(file: TorchFile) -> int:
    candidates = [_entry(file.content, key) for key in ("iteration", "step")]
    named = re.match(r"(?:.*[-_])?(\d{1,12})(?:-[GDP])?(?:\.\w+)?$", file.path.name)
    candidates += [int(named.group(1))] if named else []
    numbers = (int(c) for c in candidates if type(c) in (int, float) and math.isfinite(c))
    return next((number for number in numbers if 0 <= number < 10**12), 0)
