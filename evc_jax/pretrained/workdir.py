"""Trained parameters of a work directory, without the system that wrote them."""

from __future__ import annotations

import contextlib
import json
import math
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
    """A checkpoint of a training, for a bundle or for another system.

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


def load_for_inference(workdir: epath.PathLike, checkpoint: str | int = "last") -> Trained:
    """Reads a checkpoint of a work directory without building the system that wrote it.

    Args:
      workdir: of a training.
      checkpoint: "last", the newest one; "best", the one whose `config.best_metric` was smallest in the validation at
        or before it; or a step. The newest is the default because a GAN's validation metrics do not rank its output.

    Raises:
      CheckpointError: there is no such checkpoint, or it is damaged.
    """
    step = choose_step(workdir, checkpoint)
    folder = absolute(epath.Path(workdir) / CHECKPOINTS / str(step))
    try:
        description = read_item(folder, "description")
        params = read_arrays(folder / INFERENCE_ITEM)
    except Exception as error:  # Orbax and TensorStore raise many kinds for a file that is cut short
        raise _unreadable(folder, error) from error
    return Trained(
        system=description["config"]["system"],
        config=description["config"],
        networks=description["networks"],
        params=params,
        step=step,
        metrics=validation_metrics(workdir, step),
    )


def load_discriminator(workdir: epath.PathLike) -> dict[str, Any] | None:
    """The discriminator's parameters of the newest checkpoint of a GAN; None in one that only has what converts.

    Raises:
      CheckpointError: there is no checkpoint, or it is damaged.
    """
    folder = absolute(epath.Path(workdir) / CHECKPOINTS / str(choose_step(workdir, "last")))
    if not (folder / "state").is_dir():
        return None
    try:
        return read_arrays(folder / "state").get("discriminator")
    except Exception as error:
        raise _unreadable(folder, error) from error


def choose_step(workdir: epath.PathLike, checkpoint: str | int) -> int:
    """The step of a checkpoint that is there; `checkpoint` is what `load_for_inference` takes.

    Raises:
      CheckpointError: there is no such checkpoint, or it was never validated.
    """
    steps = saved_steps(workdir)
    if not steps:
        raise CheckpointError(f"{workdir} holds no checkpoint; train into it first with `evc train`.")
    there = ", ".join(map(str, steps))
    if checkpoint == "last":
        return steps[-1]
    if checkpoint != "best":
        if str(checkpoint) not in map(str, steps):
            raise CheckpointError(f"{workdir} has no checkpoint {checkpoint!r}; name best, last or one of {there}.")
        return int(checkpoint)
    try:
        newest = epath.Path(workdir) / CHECKPOINTS / str(steps[-1])
        metric = read_item(newest, "description")["config"].get("best_metric")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{workdir} names no best_metric ({one_line(error)}); name one of {there}.") from error
    scores = {step: validation_metrics(workdir, step).get(metric, math.nan) for step in steps}
    finite = [step for step in steps if math.isfinite(scores[step])]
    if not finite:
        raise CheckpointError(
            f"No checkpoint of {workdir} was validated by config.best_metric; name last or one of {there}."
        )
    # Of equal ones the first: a later one was saved after the same validation.
    return min(finite, key=lambda step: scores[step])


def read_item(checkpoint: epath.PathLike, item: str) -> dict[str, Any]:
    """What a checkpoint's folder holds as JSON: its `description` or its `progress`."""
    return json.loads((epath.Path(checkpoint) / item / "metadata").read_text())


def read_arrays(folder: epath.PathLike) -> dict[str, Any]:
    """A saved tree as NumPy arrays, whatever devices wrote it."""
    with contextlib.closing(ocp.PyTreeCheckpointHandler()) as handler:
        shapes = handler.metadata(folder).tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
        return handler.restore(folder, args=ocp.args.PyTreeRestore(restore_args=as_numpy))


def _unreadable(folder: epath.Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint {folder} cannot be read ({one_line(error)}); remove it, and the one before it is used."
    )


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
