"""Writes a converted checkpoint as the work directory of a finished training, which is what takes it further.

`training.checkpoints.load_for_inference` reads it, and with it `evc bundle` and whatever trains on another system.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from evc_jax.config import to_mapping
from evc_jax.errors import CheckpointError
from evc_jax.files import atomic_dir
from evc_jax.pretrained.bundle import write_params
from evc_jax.torch_import.originals import Converted

CHECKPOINTS = "checkpoints"
DESCRIPTION = Path("description") / "metadata"


def write_workdir(converted: Converted, path: str | os.PathLike) -> Path:
    """Writes the directory, complete or not at all; an earlier conversion there is replaced.

    Raises:
      CheckpointError: `path` is something else than an earlier conversion.
    """
    path = Path(path)
    check_replaceable(path)
    with atomic_dir(path) as folder:
        step = folder / CHECKPOINTS / str(converted.step)
        (step / DESCRIPTION).parent.mkdir(parents=True)
        (step / DESCRIPTION).write_text(json.dumps(description(converted), indent=2) + "\n")
        write_params(step / "exported", {converted.system: converted.params})
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
