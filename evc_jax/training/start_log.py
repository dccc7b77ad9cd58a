"""What each start of a training ran on: `WORKDIR/starts.jsonl`, one line per start, none of which is ever replaced."""

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
from evc_jax.training.storage import replaced_file

START_LOG = "starts.jsonl"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
REVISION_VARIABLE = "EVC_REVISION"  # of the checkout that was copied to this machine without its history


def log_start(workdir: epath.Path, step: int, config: dict[str, Any]) -> None:
    """Adds a line to the log of starts; only the first process writes.

    Args:
      workdir: of the run.
      step: number of finished steps that this start goes on from.
      config: of the run, as a plain mapping.
    """
    if jax.process_index():
        return
    start = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "step": step,
        "revision": code_revision(),
        "versions": versions(),
        "device_kind": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
        "config": config,
    }
    file = workdir / START_LOG
    earlier = file.read_bytes() if file.exists() else b""
    with replaced_file(file) as log:  # objects in a bucket cannot be appended to
        log.write(earlier + json.dumps(start).encode() + b"\n")


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
