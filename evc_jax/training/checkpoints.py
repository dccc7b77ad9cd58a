"""Saving and restoring a run with Orbax: state, data position and config, in `WORKDIR/checkpoints/STEP`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from evc_jax.errors import CheckpointError


@dataclass(frozen=True)
class Trained:
    """What a finished (or running) training offers to a bundle or to another system.

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


class Checkpoints:
    """The checkpoints of one work directory."""

    def __init__(self, workdir: epath.PathLike, keep: int = 3):
        """Opens `workdir`/checkpoints, creating it; the newest `keep` are kept."""
        self.workdir = epath.Path(workdir)
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=True, create=True)
        self._manager = ocp.CheckpointManager((self.workdir / "checkpoints").resolve(), options=options)

    @property
    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def save(self, step: int, state: Any, exported: dict[str, Any], data: Any, description: dict[str, Any]) -> None:
        """Starts saving; training goes on while the files are written.

        Args:
          step: number of finished steps.
          state: the whole training state.
          exported: per network the parameters that inference needs.
          data: the grain iterator, whose position is saved.
          description: system, config and network settings.
        """
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                exported=ocp.args.StandardSave(exported),
                data=grain.checkpoint.CheckpointSave(data),
                description=ocp.args.JsonSave(description),
            ),
        )

    def restore(self, state: Any, data: Any) -> tuple[Any, Any]:
        """The newest checkpoint's state, laid out like `state`, and the iterator moved to its position."""
        restored = self._manager.restore(
            self.latest_step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, state)),
                data=grain.checkpoint.CheckpointRestore(data),
            ),
        )
        return restored["state"], restored["data"]

    def description(self) -> dict[str, Any]:
        """Config and network settings stored with the newest checkpoint."""
        return self._manager.restore(
            self.latest_step, args=ocp.args.Composite(description=ocp.args.JsonRestore())
        )["description"]

    def close(self) -> None:
        """Waits for running saves."""
        self._manager.close()


def load_for_inference(workdir: epath.PathLike) -> Trained:
    """Reads the newest checkpoint of a work directory without building the system that wrote it.

    Raises:
      CheckpointError: there is none.
    """
    folder = epath.Path(workdir) / "checkpoints"
    steps = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.exists() else []
    if not steps:
        raise CheckpointError(f"{workdir} holds no checkpoint; train into it first with scripts/train.py.")
    newest = (folder / str(steps[-1])).resolve()
    description = json.loads((newest / "description" / "metadata").read_text())
    return Trained(
        system=description["config"]["system"],
        config=description["config"],
        networks=description["networks"],
        params=_read_arrays(newest / "exported"),
        step=steps[-1],
        metrics=validation_metrics(workdir, steps[-1]),
    )


def _read_arrays(folder: epath.Path) -> dict[str, Any]:
    """A saved tree as NumPy arrays, whatever devices wrote it."""
    handler = ocp.PyTreeCheckpointHandler()
    shapes = handler.metadata(folder).tree
    as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    tree = handler.restore(folder, args=ocp.args.PyTreeRestore(restore_args=as_numpy))
    handler.close()
    return tree


def validation_metrics(workdir: epath.PathLike, step: int) -> dict[str, float]:
    """The newest validation metrics at or before `step`; empty where there was no validation."""
    log = epath.Path(workdir) / "metrics.jsonl"
    newest: dict[str, float] = {}
    for line in log.read_text().splitlines() if log.exists() else []:
        record = json.loads(line)
        if record["split"] == "validation" and record["step"] <= step:
            newest = {key: value for key, value in record.items() if key not in ("split", "step")}
    return newest
