"""Whether a training may go on from a checkpoint of another configuration."""

from __future__ import annotations

from typing import Any

from etils import epath

from evc_jax.errors import CheckpointError


def check_resumable(stored: dict[str, Any], wanted: dict[str, Any], workdir: epath.Path) -> None:
    """The networks and the state's layout must be those of the checkpoint; rates, steps, data and sizes may change.

    Args:
      stored: config and network settings of the checkpoint.
      wanted: those of the run that wants to go on.
      workdir: of both.

    Raises:
      CheckpointError: it names every key that differs.
    """
    pairs = {}
    for key in ("system", "model"):
        pairs |= _differences(stored["config"].get(key), wanted["config"].get(key), f"config.{key}")
    had, has = (bool(side["config"].get("ema_decay")) for side in (stored, wanted))
    if had != has:
        pairs["config.ema_decay"] = (stored["config"].get("ema_decay"), wanted["config"]["ema_decay"])
    if not pairs and stored["networks"] != wanted["networks"]:
        pairs = _differences(stored["networks"], wanted["networks"], "networks")
    if pairs:
        listed = ", ".join(f"{key} ({old!r} there, {new!r} now)" for key, (old, new) in pairs.items())
        raise CheckpointError(
            f"{workdir} holds a training with another {listed}; choose another --workdir or the same settings."
        )


def _differences(old: Any, new: Any, path: str) -> dict[str, tuple[Any, Any]]:
    """The keys at which two nested mappings differ, with both values."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        same = list(old) == list(new) if isinstance(old, list | tuple) and isinstance(new, list | tuple) else old == new
        return {} if same else {path: (old, new)}
    pairs: dict[str, tuple[Any, Any]] = {}
    for key in sorted(old.keys() | new.keys()):
        pairs |= _differences(old.get(key), new.get(key), f"{path}.{key}")
    return pairs
