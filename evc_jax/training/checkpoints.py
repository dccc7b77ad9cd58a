"""Saving and restoring a run with Orbax: state, progress and config, in `WORKDIR/checkpoints/STEP`.

The last ones and the best one are kept. Each has a fingerprint of its state, so that a damaged one is noticed
where the file system reports no error.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from etils import epath
from flax import traverse_util
from orbax.checkpoint import checkpoint_managers as policies

from evc_jax.errors import CheckpointError, TrainingError, one_line
from evc_jax.pretrained.workdir import CHECKPOINTS, INFERENCE_ITEM, absolute, read_item
from evc_jax.training import processes
from evc_jax.training.agreement import first_failure
from evc_jax.training.storage import full_disk

# Of checkpoints after the same validation, the first has the weights that were validated.
STEPS_SINCE_VALIDATION = "steps_since_validation"


@dataclass(frozen=True)
class Restored:
    """A checkpoint that was read whole.

    Attributes:
      step: number of finished steps.
      state: the training state, on the devices.
      progress: what the loop stored beside the state.
      damaged: newer checkpoints that could not be read, each with the reason; they were moved to WORKDIR/damaged.
    """

    step: int
    state: Any
    progress: dict[str, Any]
    damaged: dict[int, str]


class Checkpoints:
    """The checkpoints of one work directory."""

    def __init__(self, workdir: epath.PathLike, keep: int, best_metric: str):
        """Opens `workdir`/checkpoints; makes it where it is missing.

        Args:
          workdir: of the run; the same for all processes.
          keep: the newest so many are kept.
          best_metric: so is the one whose `best_metric` was smallest.
        """
        self.workdir = epath.Path(workdir)
        self._folder = absolute(self.workdir / CHECKPOINTS)

        def rank(metrics: dict[str, float]) -> tuple[float, float]:
            return -metrics[best_metric], -metrics[STEPS_SINCE_VALIDATION]

        best = policies.BestN(get_metric_fn=rank, n=1, keep_checkpoints_without_metrics=False)
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(keep), best]),
            enable_async_checkpointing=True,
            # The policy decides; only with this function does Orbax store metrics, for the processes that resume.
            best_fn=rank,
            cleanup_tmp_directories=True,
            create=True,
        )
        self._best_metric, self._group = best_metric, processes.current()
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    @property
    def steps(self) -> list[int]:
        """All steps that were saved and kept, in order."""
        return sorted(self._manager.all_steps())

    def save(
        self,
        step: int,
        state: Any,
        inference_params: dict[str, Any],
        progress: dict[str, Any],
        description: dict[str, Any],
        metrics: dict[str, float],
        validated: int,
    ) -> None:
        """Starts saving; training continues while the files are written.

        Args:
          step: number of finished steps.
          state: the whole training state.
          inference_params: per network the parameters that inference needs.
          progress: what the loop needs to resume, JSON.
          description: config and network settings, JSON.
          metrics: of the newest validation.
          validated: its step.

        Raises:
          TrainingError: there is no room for it.
        """
        self.finish()  # raises what became of the one before; Orbax would skip a save while another is under way
        self._require_room(state, inference_params)
        ranked = math.isfinite(metrics.get(self._best_metric, math.nan))
        self._manager.save(
            step,
            force=True,
            metrics={**metrics, STEPS_SINCE_VALIDATION: step - validated} if ranked else None,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state),
                progress=ocp.args.JsonSave({**progress, "fingerprint": fingerprint(state)}),
                description=ocp.args.JsonSave(description),
                **{INFERENCE_ITEM: ocp.args.StandardSave(inference_params)},
            ),
        )

    def restore(self, like: Any, description: dict[str, Any]) -> Restored | None:
        """The newest checkpoint that can be read whole; None when nothing was ever saved.

        Args:
          like: a state of the wanted shapes and placement.
          description: of the run that is to be resumed.

        Raises:
          CheckpointError: every checkpoint is damaged, or the newest is one of another config.
        """
        damaged: dict[int, str] = {}
        for step in reversed(self._group.share("steps", self.steps)[0]):
            try:
                state, progress = self._read(step, like, description)
            except _Damaged as error:
                damaged[step] = str(error)
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
        """Waits for running saves, and raises what went wrong in the last one."""
        self._manager.wait_until_finished()
        self._manager.check_for_errors()

    def close(self) -> None:
        """Ends what Orbax runs, after an error too; what could not be written whole is removed."""
        with contextlib.suppress(Exception):  # which `finish` raises
            self._manager.close()
        if jax.process_index() == 0:
            for unfinished in self._folder.glob("*.orbax-checkpoint-tmp*"):
                unfinished.rmtree(missing_ok=True)

    def _read(self, step: int, like: Any, description: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        folder = self._folder / str(step)
        stored = self._together(step, "description", lambda: read_item(folder, "description"))
        _check_resumable(stored, description, self.workdir)
        progress = self._together(step, "progress", lambda: read_item(folder, "progress"))
        state = self._together(step, "state", lambda: self._read_state(step, like))
        self._together(step, "values", lambda: _check_values(state, progress["fingerprint"]))
        return state, progress

    def _together(self, step: int, part: str, read: Callable[[], Any]) -> Any:
        """What `read` gives, unless it fails on any process: the checkpoint is damaged for all or for none."""
        found, reason = None, ""
        try:
            found = read()
        except Exception as error:  # Orbax and TensorStore raise many kinds for a file that is cut short
            reason = one_line(error)
        if reason := first_failure(self._group, f"checkpoint {step} {part}", reason):
            raise _Damaged(reason)
        return found

    def _read_state(self, step: int, like: Any) -> Any:
        # Without the manager, in which processes wait for one that fails.
        with contextlib.closing(ocp.StandardCheckpointHandler()) as handler:
            shapes = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
            return handler.restore(self._folder / str(step) / "state", args=ocp.args.StandardRestore(shapes))

    def _set_aside(self, damaged: dict[int, str]) -> None:
        if damaged and jax.process_index() == 0:
            for step in damaged:
                place = self.workdir / "damaged" / str(step)
                place.parent.mkdir(parents=True, exist_ok=True)
                if place.exists():
                    place.rmtree()
                (self._folder / str(step)).rename(place)
        self._group.share("damaged checkpoints set aside", sorted(damaged))
        if damaged:
            self._manager.reload()

    def _require_room(self, state: Any, inference_params: Any) -> None:
        # Before the attempt: a half-written checkpoint would take the last bytes that others on the disk need.
        if "://" in str(self.workdir):
            return
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves((state, inference_params)))
        free = shutil.disk_usage(self.workdir).free
        if free < needed:
            reason = f"a checkpoint takes {needed / 1e6:.1f} MB, {free / 1e6:.1f} are free"
            raise TrainingError(full_disk(self.workdir, self.workdir, reason))


class _Damaged(Exception):
    """A checkpoint that a process cannot read, and why."""


def _check_values(state: Any, expected: str) -> None:
    if fingerprint(state) != expected:
        raise ValueError("its values are not those that were saved")


def fingerprint(tree: Any) -> str:
    """A number that differs where any bit of a tree of arrays does; the same on any number of devices."""
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


def _check_resumable(stored: dict[str, Any], wanted: dict[str, Any], workdir: epath.Path) -> None:
    """The networks and the state's layout must be those of the checkpoint; rates, steps, data and sizes may change."""
    old, new = (traverse_util.flatten_dict(side, sep=".") for side in (stored, json.loads(json.dumps(wanted))))
    differ = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    switched = bool(old.get("config.ema_decay")) != bool(new.get("config.ema_decay"))
    fixed = ("config.system", "config.options.emotions")  # whose order is that of a network's inputs
    found = [key for key in differ if key in fixed or key.startswith("config.model.")]
    found += ["config.ema_decay"] if switched else []
    found = found or [key for key in differ if key.startswith("networks.")]
    if found:
        listed = ", ".join(f"{key} ({old.get(key)!r} there, {new.get(key)!r} now)" for key in found)
        raise CheckpointError(
            f"{workdir} holds a training with another {listed}; choose another --workdir or the same settings."
        )
