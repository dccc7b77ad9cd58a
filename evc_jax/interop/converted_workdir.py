"""Writes a converted checkpoint as the work directory of a finished training, which is what takes it further.

`training.checkpoints.load_for_inference` reads it, and with it `evc bundle` and whatever trains on another system.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from evc_jax.config import to_mapping
from evc_jax.errors import CheckpointError
from evc_jax.interop.originals import Converted

CHECKPOINTS = "checkpoints"
DESCRIPTION = Path("description") / "metadata"


def write_workdir(converted: Converted, path: str | os.PathLike) -> Path:
    """Writes the directory, complete or not at all; an earlier conversion there is replaced.

    Raises:
      CheckpointError: `path` is something else than an earlier conversion.
    """
    path = Path(path)
    check_replaceable(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        step = partial / CHECKPOINTS / str(converted.step)
        (step / DESCRIPTION).parent.mkdir(parents=True)
        (step / DESCRIPTION).write_text(json.dumps(description(converted), indent=2) + "\n")
        _write_params(step / "exported", {converted.system: converted.params})
        _move_into_place(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


def description(converted: Converted) -> dict[str, Any]:
    """What a checkpoint says of itself: the run's config and the networks' settings."""
    model = to_mapping(converted.config)
    config = {
        "system": converted.system,
        "model": model,
        "options": converted.options,
        "data": {"datasets": []},
        "audio": to_mapping(converted.audio),
        "converted_from": converted.source,
    }
    return {"config": config, "networks": {converted.system: model}}


def check_replaceable(path: str | os.PathLike) -> None:
    """Whether a conversion may be written here.

    Raises:
      CheckpointError: there is something that no conversion made.
    """
    path = Path(path)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    found = sorted(path.glob(f"{CHECKPOINTS}/*/{DESCRIPTION}"))
    if not found or not all(_is_conversion(file) for file in found):
        raise CheckpointError(f"{path} exists and is no converted checkpoint; choose another output directory.")


def _is_conversion(file: Path) -> bool:
    try:
        return "converted_from" in json.loads(file.read_text())["config"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_params(folder: Path, tree: Any) -> None:
    with ocp.StandardCheckpointer() as writer:
        writer.save(folder.resolve(), jax.tree.map(np.asarray, tree))
    marker = folder / "commit_success.txt"
    if marker.exists():  # Orbax writes into it where it was made, which is nobody's business
        marker.write_text("complete\n")


def _move_into_place(partial: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.rename(old)
    try:
        partial.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
