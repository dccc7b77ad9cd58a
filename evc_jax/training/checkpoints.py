"""Saving and restoring a run with Orbax: state, progress and config, in `WORKDIR/checkpoints/STEP`.

The last ones and the best one are kept. Each carries a fingerprint of its state, so that a damaged one is noticed
whatever the file system says of it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers as policies

from evc_jax.errors import CheckpointError, TrainingError
from evc_jax.training.parallel import wait_for_all
from evc_jax.training.resuming import check_resumable


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


@dataclass(frozen=True)
class Restored:
    """A checkpoint that was read whole.

    Attributes:
      step: number of finished steps.
      state: the training state, on the devices.
      progress: what the loop stored of its own.
      damaged: newer checkpoints that could not be read, each with the reason; they were moved to WORKDIR/damaged.
    """

    step: int
    state: Any
    progress: dict[str, Any]
    damaged: dict[int, str]


class Checkpoints:
    """The checkpoints of one work directory."""

    def __init__(self, workdir: epath.PathLike, keep: int, best_metric: str):
        """Opens `workdir`/checkpoints, creating it.

        Args:
          workdir: of the run; the same for all processes.
          keep: the newest so many are kept.
          best_metric: so is the one whose `best_metric` was smallest.
        """
        self.workdir = epath.Path(workdir)
        self._folder = absolute(self.workdir / "checkpoints")
        best = policies.BestN(
            get_metric_fn=lambda metrics: -metrics[best_metric], n=1, keep_checkpoints_without_metrics=False
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(keep), best]),
            enable_async_checkpointing=True,
            cleanup_tmp_directories=True,
            create=True,
        )
        self._best_metric = best_metric
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    @property
    def steps(self) -> list[int]:
        """All steps that were saved and kept, in order."""
        return sorted(self._manager.all_steps())

    def save(
        self,
        step: int,
        state: Any,
        exported: dict[str, Any],
        progress: dict[str, Any],
        description: dict[str, Any],
        metrics: dict[str, float],
    ) -> None:
        """Starts saving; training goes on while the files are written.

        Args:
          step: number of finished steps.
          state: the whole training state.
          exported: per network the parameters that inference needs.
          progress: what the loop needs to go on, JSON.
          description: config and network settings, JSON.
          metrics: of the newest validation.

        Raises:
          TrainingError: there is no room for it, or the one before could not be written.
        """
        self.finish()  # tells of an error in the one before; Orbax would skip a save while another is under way
        with self.disk_errors():
            self._require_room(state, exported)
            self._manager.save(
                step,
                force=True,
                metrics=metrics if self._best_metric in metrics else None,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    exported=ocp.args.StandardSave(exported),
                    progress=ocp.args.JsonSave({**progress, "fingerprint": fingerprint(state)}),
                    description=ocp.args.JsonSave(description),
                ),
            )

    def restore(self, like: Any, description: dict[str, Any]) -> Restored | None:
        """The newest checkpoint that can be read whole; None when nothing was ever saved.

        Args:
          like: a state of the wanted shapes and placement.
          description: of the run that wants to go on.

        Raises:
          CheckpointError: every checkpoint is damaged, or the newest is one of another config.
        """
        damaged: dict[int, str] = {}
        for step in reversed(self.steps):
            try:
                stored = json.loads((self._folder / str(step) / "description" / "metadata").read_text())
            except (OSError, ValueError) as error:
                damaged[step] = _one_line(error)
                continue
            check_resumable(stored, description, self.workdir)
            try:
                state, progress = self._read(step, like)
            except Exception as error:  # Orbax and TensorStore raise many kinds for a file that is cut short
                damaged[step] = _one_line(error)
                continue
            self._set_aside(damaged)
            return Restored(step, state, progress, damaged)
        if damaged:
            newest = max(damaged)
            raise CheckpointError(
                f"None of the checkpoints in {self._folder} can be read (step {newest}: {damaged[newest]}); copy them "
                "back from elsewhere, or move the folder away to start anew."
            )
        return None

    def finish(self) -> None:
        """Waits for running saves.

        Raises:
          TrainingError: the last one could not be written.
        """
        with self.disk_errors():
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    def close(self) -> None:
        """Lets go of the directory, after an error too."""
        with contextlib.suppress(Exception):  # `finish` tells of them
            self._manager.close()

    @contextlib.contextmanager
    def disk_errors(self) -> Iterator[None]:
        """Turns what a full disk raises, and where, into one sentence."""
        try:
            yield
        except TrainingError:
            raise
        except Exception as error:
            if getattr(error, "errno", None) not in (errno.ENOSPC, errno.EDQUOT) and not _tells_of_full_disk(error):
                raise
            raise TrainingError(self._full_disk("nothing more can be written")) from error

    def _read(self, step: int, like: Any) -> tuple[Any, dict[str, Any]]:
        read = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(jax.tree.map(ocp.utils.to_shape_dtype_struct, like)),
                progress=ocp.args.JsonRestore(),
            ),
        )
        if fingerprint(read["state"]) != read["progress"]["fingerprint"]:
            raise ValueError("its values are not those that were saved")
        return read["state"], read["progress"]

    def _set_aside(self, damaged: dict[int, str]) -> None:
        if damaged and jax.process_index() == 0:
            for step in damaged:
                place = self.workdir / "damaged" / str(step)
                place.parent.mkdir(parents=True, exist_ok=True)
                if place.exists():
                    place.rmtree()
                (self._folder / str(step)).rename(place)
        wait_for_all("damaged checkpoints set aside")
        if damaged:
            self._manager.reload()

    def _require_room(self, state: Any, exported: Any) -> None:
        # Before the attempt: a half-written checkpoint would take the last bytes that others on the disk need.
        if "://" in str(self.workdir):
            return
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves((state, exported)))
        free = shutil.disk_usage(self.workdir).free
        if free < needed:
            raise TrainingError(self._full_disk(f"a checkpoint takes {needed / 1e6:.1f} MB, {free / 1e6:.1f} are free"))

    def _full_disk(self, reason: str) -> str:
        last = f"the checkpoint of step {self.steps[-1]} is intact" if self.steps else "nothing was saved yet"
        return f"The disk of {self.workdir} is full ({reason}); {last}: make room and give the same command again."


def fingerprint(tree: Any) -> str:
    """Tells whether every bit of a tree of arrays is the same; the same on any number of devices."""
    return f"{int(_fingerprint(tree)):08x}"


@jax.jit
def _fingerprint(tree: Any) -> jax.Array:
    total = jnp.zeros((), jnp.uint32)
    for leaf in jax.tree.leaves(tree):
        unsigned = {1: jnp.uint8, 2: jnp.uint16}.get(leaf.dtype.itemsize, jnp.uint32)
        bits = jax.lax.bitcast_convert_type(leaf, unsigned).astype(jnp.uint32).reshape(-1)
        # Odd weights that differ by place: a changed bit or two exchanged values change the sum.
        place = 2 * jnp.arange(bits.size, dtype=jnp.uint32) + 1
        total = total * jnp.uint32(31) + jnp.sum(bits * place, dtype=jnp.uint32)
    return total


def load_for_inference(workdir: epath.PathLike) -> Trained:
    """Reads the newest checkpoint of a work directory without building the system that wrote it.

    Raises:
      CheckpointError: there is none, or it is damaged.
    """
    folder = epath.Path(workdir) / "checkpoints"
    steps = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.exists() else []
    if not steps:
        raise CheckpointError(f"{workdir} holds no checkpoint; train into it first with scripts/train.py.")
    newest = absolute(folder / str(steps[-1]))
    try:
        description = json.loads((newest / "description" / "metadata").read_text())
        params = _read_arrays(newest / "exported")
    except Exception as error:  # Orbax and TensorStore raise many kinds for a file that is cut short
        raise CheckpointError(
            f"The checkpoint {newest} cannot be read ({_one_line(error)}); remove it, and the one before it is used."
        ) from error
    return Trained(
        system=description["config"]["system"],
        config=description["config"],
        networks=description["networks"],
        params=params,
        step=steps[-1],
        metrics=validation_metrics(workdir, steps[-1]),
    )


def absolute(path: epath.Path) -> epath.Path:
    """The path as Orbax wants it; one in a bucket is absolute already, and `resolve` would take it for a local one."""
    return path if "://" in str(path) else path.resolve()


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


def _tells_of_full_disk(error: BaseException) -> bool:
    text = str(error).lower()
    return any(sign in text for sign in ("no space left", "disk quota", "resource_exhausted: error writing"))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160].rstrip(". ") or type(error).__name__
