"""The one training loop. A system brings its data, its loss and its step; the loop does the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import grain
import jax
import numpy as np
from etils import epath

from evc_jax.config import to_mapping
from evc_jax.errors import CheckpointError
from evc_jax.training import parallel
from evc_jax.training.checkpoints import Checkpoints
from evc_jax.training.config import TrainConfig
from evc_jax.training.metrics import MetricsWriter


@runtime_checkable
class System(Protocol):
    """What the loop needs to know of a system. Steps are pure per-device functions."""

    def init(self, key: jax.Array) -> Any:
        """The first state; a pytree with a `step` counter."""

    def step(self, state: Any, batch: Any, key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        """One training step on this device's part of the batch; gradients are averaged over devices inside."""

    def evaluate(self, state: Any, batch: Any, key: jax.Array) -> dict[str, jax.Array]:
        """Validation metrics of one batch on this device."""

    def data(self, split: str, batch_size: int) -> grain.IterDataset:
        """Batches of this process: endless for "train", one pass for "validation"."""

    def networks(self) -> dict[str, dict[str, Any]]:
        """Settings of the networks that inference needs, by name."""

    def exported(self, state: Any) -> dict[str, Any]:
        """Parameters of those networks."""


def build_system(config: TrainConfig, workdir: epath.Path) -> System:
    """The system that the configuration names; `workdir` is where it may keep what it computes once."""
    if config.system == "speechsplit":
        from evc_jax.training.speechsplit import SpeechSplitSystem as kind
    elif config.system == "f0_converter":
        from evc_jax.training.f0_converter import F0ConverterSystem as kind
    elif config.system == "voicegan":
        from evc_jax.training.voicegan import VoiceGANSystem as kind
    elif config.system == "codegan":
        from evc_jax.training.codegan import CodeGANSystem as kind
    else:
        from evc_jax.training.waveglow import WaveGlowSystem as kind
    return kind(config, workdir)


def train(config: TrainConfig, workdir: epath.PathLike) -> dict[str, float]:
    """Trains until `config.steps`, resuming from the newest checkpoint of `workdir` when there is one.

    Returns:
      The last validation metrics.

    Raises:
      ConfigError, DataError, CheckpointError: each with one sentence of what to mend.
    """
    workdir = epath.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    mesh = parallel.device_mesh()
    batch_size = parallel.local_batch_size(config.batch_size, mesh)
    system = build_system(config, workdir)
    description = {"config": to_mapping(config), "networks": system.networks()}

    key = jax.random.key(config.seed)
    state = parallel.replicate(jax.jit(system.init)(jax.random.fold_in(key, 0)), mesh)
    step_key, validation_key = jax.random.fold_in(key, 1), jax.random.fold_in(key, 2)
    batches = iter(system.data("train", batch_size))
    validation = system.data("validation", batch_size)

    checkpoints = Checkpoints(workdir, config.keep_checkpoints)
    first = checkpoints.latest_step or 0
    if first:
        _check_resumable(checkpoints.description(), description, workdir)
        state, batches = checkpoints.restore(state, batches)
    elif jax.process_index() == 0:
        (workdir / "config.json").write_text(json.dumps(description["config"], indent=2) + "\n")

    step_fn, evaluate_fn = parallel.map_step(system.step, mesh), parallel.map_evaluation(system.evaluate, mesh)
    writer = MetricsWriter(workdir, config.steps, first)
    if first:
        writer.say(f"resumed {config.system} from step {first} of {workdir}")
    pending: list[dict[str, jax.Array]] = []  # fetched only when logged, so that steps are dispatched ahead
    results: dict[str, float] = {}

    def validate(step: int) -> dict[str, float]:
        mark = writer.pause()
        metrics = evaluate(evaluate_fn, state, validation, validation_key, mesh, config.validation_batches)
        writer.validation(step, metrics)
        writer.resume(mark)
        return metrics

    if not first:
        results = validate(0)
    for step in range(first + 1, config.steps + 1):
        state, metrics = step_fn(state, parallel.shard_batch(next(batches), mesh), step_key)
        pending.append(metrics)
        if step % config.log_every == 0 or step == config.steps:
            writer.train(step, mean_metrics(pending))
            pending = []
        if step % config.validate_every == 0 or step == config.steps:
            results = validate(step)
        if step % config.checkpoint_every == 0 or step == config.steps:
            checkpoints.save(step, state, system.exported(state), batches, description)
    checkpoints.close()
    writer.close()
    return results


def evaluate(
    evaluate_fn, state: Any, batches: Iterable, key: jax.Array, mesh: jax.sharding.Mesh, limit: int
) -> dict[str, float]:
    """Mean metrics over at most `limit` batches; the same batches and randomness every time."""
    collected = []
    for i, batch in enumerate(batches):
        if i == limit:
            break
        batch = parallel.shard_batch(parallel.fit_batch(batch, mesh), mesh)
        collected.append(evaluate_fn(state, batch, jax.random.fold_in(key, i)))
    return mean_metrics(collected)


def mean_metrics(collected: list[dict[str, jax.Array]]) -> dict[str, float]:
    """The mean of each metric over a list of them."""
    fetched = jax.device_get(collected)
    return {name: float(np.mean([metrics[name] for metrics in fetched])) for name in fetched[0]} if fetched else {}


def _check_resumable(stored: dict[str, Any], wanted: dict[str, Any], workdir: epath.Path) -> None:
    """The networks and the system must be those of the checkpoint; the rest (rates, steps, paths) may change."""
    for key in ("system", "model"):
        if stored["config"][key] != wanted["config"][key]:
            raise CheckpointError(
                f"{workdir} holds a training with another config.{key} ({stored['config'][key]!r} there, "
                f"{wanted['config'][key]!r} now); choose another --workdir or the same settings."
            )
