"""Trained parameters of a work directory, without the system that wrote them."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from evc_jax.errors import CheckpointError, one_line

CHECKPOINTS, LOG_FILE = "checkpoints", "metrics.jsonl"
# An older name of the inference parameters, kept because it is part of every work directory there is.
INFERENCE_ITEM = "exported"


@dataclass(frozen=True)
class Trained:
    """The newest checkpoint of a training, for a bundle or for another system.

    Attributes:
      system: which system was trained.
      config: the run's whole configuration, as a plain mapping.
      networks: per network its settings, as a plain mapping.
      params: per network its parameters, NumPy arrays.
      step: the checkpoint's step.
      metrics: the newest validation metrics at or before that step.
    """

    system: str
    config: dict[str, Any]
    networks: dict[str, dict[str, Any]]
    params: dict[str, Any]
    step: int
    metrics: dict[str, float]


def load_for_inference(workdir: epath.PathLike) -> Trained:
    """Reads the newest checkpoint of a work directory without building the system that wrote it.

    Raises:
      CheckpointError: there is none, or it is damaged.
    """
    steps = saved_steps(workdir)
    if not steps:
        raise CheckpointError(f"{workdir} holds no checkpoint; train into it first with scripts/train.py.")
    newest = absolute(epath.Path(workdir) / CHECKPOINTS / str(steps[-1]))
    try:
        description = json.loads((newest / "description" / "metadata").read_text())
        params = read_arrays(newest / INFERENCE_ITEM)
    except Exception as error:  # Orbax and TensorStore raise many kinds for a file that is cut short
        raise CheckpointError(
            f"The checkpoint {newest} cannot be read ({one_line(error)}); remove it, and the one before it is used."
        ) from error
    return Trained(
        system=description["config"]["system"],
        config=description["config"],
        networks=description["networks"],
        params=params,
        step=steps[-1],
        metrics=validation_metrics(workdir, steps[-1]),
    )


def read_arrays(folder: epath.PathLike) -> dict[str, Any]:
    """A saved tree as NumPy arrays, whatever devices wrote it."""
    with contextlib.closing(ocp.PyTreeCheckpointHandler()) as handler:
        shapes = handler.metadata(folder).tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
        return handler.restore(folder, args=ocp.args.PyTreeRestore(restore_args=as_numpy))


def saved_steps(workdir: epath.PathLike) -> list[int]:
    """The steps of a work directory's checkpoints, in order."""
    folder = epath.Path(workdir) / CHECKPOINTS
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else []


def logged_metrics(workdir: epath.PathLike) -> list[dict[str, Any]]:
    """What a training logged: `split`, `step` and the metrics of each line; one that a kill cut off is passed over."""
    log = epath.Path(workdir) / LOG_FILE
    records = []
    for line in log.read_bytes().splitlines() if log.exists() else []:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and {"split", "step"} <= record.keys():
            records.append(record)
    return records


def validation_metrics(workdir: epath.PathLike, step: int) -> dict[str, float]:
    """The newest validation metrics at or before `step`; empty where there was no validation."""
    newest: dict[str, float] = {}
    for record in logged_metrics(workdir):
        if record["split"] == "validation" and record["step"] <= step:
            newest = {key: value for key, value in record.items() if key not in ("split", "step")}
    return newest


def absolute(path: epath.Path) -> epath.Path:
    """The absolute path that Orbax needs; `resolve` would make a local one of a path in a bucket."""
    return path if "://" in str(path) else path.resolve()
