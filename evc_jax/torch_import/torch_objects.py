"""A pickled PyTorch module as an inert stand-in, and the sentences with which a checkpoint is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evc_jax.errors import CheckpointError

MAX_MODULES, MAX_DEPTH, MAX_SHOWN = 20_000, 32, 100


class Module:
    """A pickled object of any class: its state, and nothing that could run."""

    __slots__ = ("name", "state")

    def __init__(self, name: str, *arguments: Any):
        if arguments:
            raise forbidden(name)
        self.name = name
        self.state: dict[str, Any] = {}

    def group(self, name: str) -> dict[str, Any]:
        """One of the dicts that a module keeps its parts in; empty where there is none."""
        group = self.state.get(name, {})
        if not isinstance(group, dict) or not all(isinstance(key, str) and len(key) < MAX_SHOWN for key in group):
            raise ValueError(f"a module's {name} are no parts with names")
        return group

    def tensors(self) -> dict[str, np.ndarray]:
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
            found |= {prefix + name: value for name, value in parts.items() if isinstance(value, np.ndarray)}
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
    return CheckpointError(
        f"asks for {printable(name)}, which is neither a tensor, a plain container nor a PyTorch module; nothing was "
        "executed, do not trust this file"
    )
