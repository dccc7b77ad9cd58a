"""What each start of a training ran on: `WORKDIR/starts.jsonl`, one line per start, none of which is ever replaced.

It is a record beside the config: a training goes on with other versions, on other devices and after data was prepared
again, and says so.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
from etils import epath

import evc_jax
from evc_jax.data.dataset import dataset_digest
from evc_jax.training.storage import replaced_file

START_LOG = "starts.jsonl"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
REVISION_VARIABLE = "EVC_REVISION"  # of the checkout that was copied to this machine without its history


# What of a start a network's entry in a bundle keeps.
KEPT_IN_BUNDLES = ("revision", "versions", "device_kind", "devices", "datasets")


def log_start(workdir: epath.Path, step: int, config: dict[str, Any]) -> str:
    """Adds a line to the log of starts; only the first process writes.

    Args:
      workdir: of the run.
      step: number of finished steps that this start goes on from.
      config: of the run, as a plain mapping.

    Returns:
      a sentence on what is other than at the start before; empty where nothing is, or there was none.
    """
    if jax.process_index():
        return ""
    data = config.get("data", {"datasets": ()})
    start = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "step": step,
        "revision": code_revision(),
        "versions": versions(),
        "device_kind": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "datasets": {name: dataset_digest(data["data_dir"], name) for name in data["datasets"]},
        "config": config,
    }
    earlier = _read(workdir)
    with replaced_file(workdir / START_LOG) as log:  # objects in a bucket cannot be appended to
        log.write(f"{earlier}{json.dumps(start)}\n".encode())
    return _changes(json.loads(earlier.splitlines()[-1]), start) if earlier and step else ""


def read_starts(workdir: epath.PathLike) -> list[dict[str, Any]]:
    """All lines of the log of starts, the oldest first; none where there is no log."""
    return [json.loads(line) for line in _read(workdir).splitlines()]


def _read(workdir: epath.PathLike) -> str:
    file = epath.Path(workdir) / START_LOG
    return file.read_text() if file.exists() else ""


def trained_with(workdir: epath.PathLike, step: int) -> dict[str, Any]:
    """What the steps up to a checkpoint ran on, by its last start: `KEPT_IN_BUNDLES`; empty where it is not known."""
    starts = [start for start in read_starts(workdir) if start["step"] < step]
    return {key: starts[-1][key] for key in KEPT_IN_BUNDLES if key in starts[-1]} if starts else {}


def _changes(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What differs, as `jax 0.10.1 -> 0.10.2`; keys that an older log lacks do not."""
    keys = ("revision", "device_kind", "devices", "processes")
    sides = [{**{key: start.get(key) for key in keys}, **start.get("versions", {})} for start in (before, now)]
    old, new = sides
    parts = [f"{key} {old[key]} -> {new[key]}" for key in old if key in new and old[key] != new[key]]
    digests = before.get("datasets", {})
    parts += [f"data of {name}" for name, digest in now["datasets"].items() if digests.get(name, digest) != digest]
    return f"other than at the last start: {', '.join(parts)}" if parts else ""


def versions() -> dict[str, str]:
    """Of Python, this package and those that compute and save."""
    found = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "evc_jax": evc_jax.__version__, **found}


def code_revision(package: Path = Path(evc_jax.__file__).parent) -> str | None:
    """The Git commit that the package runs from, with `-dirty` after it where files differ; None without a checkout."""
    if given := os.environ.get(REVISION_VARIABLE):
        return given
    if not (package.parent / ".git").exists():  # an environment may lie in another project's checkout
        return None
    command = ["git", "-C", str(package.parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
