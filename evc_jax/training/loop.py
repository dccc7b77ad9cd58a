"""The one training loop. A system brings its data, its loss and its step; the loop does the rest."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from typing import Any, Protocol, runtime_checkable

import grain
import jax
import numpy as np
from etils import epath

from evc_jax.config import to_mapping
from evc_jax.data.dataset import audio_config
from evc_jax.errors import ConfigError, TrainingError
from evc_jax.training import parallel
from evc_jax.training.checkpoints import Checkpoints, Restored
from evc_jax.training.config import TrainConfig
from evc_jax.training.flops import count_flops, peak_flops_per_s
from evc_jax.training.metrics_writer import MetricsWriter
from evc_jax.training.preemption import Preemption
from evc_jax.training.step_stats import NotFinite, Progress, mean_metrics, stopped_by


@runtime_checkable
class System(Protocol):
    """What the loop needs to know of a system. Steps are pure per-device functions."""

    def init(self, key: jax.Array) -> Any:
        """The first state; a pytree with a `step` counter."""

    def step(self, state: Any, batch: Any, key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        """One training step on this device's part of the batch; gradients are averaged over devices inside."""

    def evaluate(self, state: Any, batch: Any, key: jax.Array) -> dict[str, jax.Array]:
        """Validation metrics of one batch on this device."""

    def data(self, split: str, batch_size: int, first_sample: int = 0) -> grain.IterDataset:
        """Batches of this process: endless for "train", from a position in it; one pass for "validation"."""

    def sample_names(self, records: np.ndarray) -> list[str]:
        """What people call the training data's records."""

    def networks(self) -> dict[str, dict[str, Any]]:
        """Settings of the networks that inference needs, by name."""

    def inference_params(self, state: Any) -> dict[str, Any]:
        """Parameters of those networks."""


def build_system(config: TrainConfig, workdir: epath.Path) -> System:
    """The system that the configuration names; `workdir` is where it may keep what it computes once."""
    if config.system == "speechsplit":
        from evc_jax.training.systems.speechsplit import SpeechSplitSystem as kind
    elif config.system == "f0_converter":
        from evc_jax.training.systems.f0_converter import F0ConverterSystem as kind
    elif config.system == "voicegan":
        from evc_jax.training.systems.voicegan import VoiceGANSystem as kind
    elif config.system == "codegan":
        from evc_jax.training.systems.codegan import CodeGANSystem as kind
    else:
        from evc_jax.training.systems.waveglow import WaveGlowSystem as kind
    return kind(config, workdir)


def train(config: TrainConfig, workdir: epath.PathLike) -> dict[str, float]:
    """Trains until `config.steps`, going on from the newest checkpoint of `workdir` when there is one.

    On SIGTERM it saves and returns early; the same call goes on later.

    Returns:
      The last validation metrics.

    Raises:
      ConfigError, DataError, CheckpointError, TrainingError: each with one sentence of what to mend.
    """
    run = Run(config, epath.Path(workdir))
    try:
        with run.checkpoints.disk_errors():
            run.start()
            run.to_the_end()
        return run.results
    except TrainingError:  # a full disk
        if run.writer:
            run.writer.abandon()
        raise
    except NotFinite as error:
        raise stopped_by(error, config.system, run.sample_names(error.records), run.last_good()) from error
    finally:
        run.close()


class Run:
    """One training run from where it stands to its end."""

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        """Builds the system and its first state; what is wrong with the configuration or the data is told here."""
        self.config, self.workdir = config, workdir
        self.mesh = parallel.device_mesh()
        self.local_batch_size = parallel.local_batch_size(config.batch_size, self.mesh)
        self.system = build_system(config, workdir)
        audio_config(config.data.data_dir, config.data.datasets)  # which must be one for all datasets
        self.preemption = Preemption()
        key = jax.random.key(config.seed)
        self.state = parallel.init_replicated(self.system.init, jax.random.fold_in(key, 0), self.mesh)
        self.step_key = parallel.replicate(jax.random.fold_in(key, 1), self.mesh)
        self.validation_key = jax.random.fold_in(key, 2)
        self.step_fn = parallel.map_step(self.system.step, self.mesh)
        self.evaluate_fn = parallel.map_evaluation(self.system.evaluate, self.mesh)
        workdir.mkdir(parents=True, exist_ok=True)
        self.checkpoints = Checkpoints(workdir, config.keep_checkpoints, config.best_metric)
        self.description = {"config": to_mapping(config), "networks": self.system.networks()}
        self.writer: MetricsWriter | None = None
        self.results: dict[str, float] = {}
        self.first, self.samples, self.validated = 0, 0, -1

    def start(self) -> None:
        """Finds out where to go on, and opens data and logs there."""
        config = self.config
        restored = self.checkpoints.restore(self.state, self.description)
        pending: list[dict[str, float]] = []
        if restored:
            self.state, self.first = restored.state, restored.step
            self.samples, self.validated = restored.progress["samples"], restored.progress["validated"]
            self.results, pending = restored.progress["results"], restored.progress["pending"]
        if jax.process_index() == 0:
            (self.workdir / "config.json").write_text(json.dumps(self.description["config"], indent=2) + "\n")
        local = self.local_batch_size * config.accumulate
        self.batches = iter(self.system.data("train", local, self.samples))
        self.validation = self.system.data("validation", self.local_batch_size)
        self.writer = MetricsWriter(self.workdir, config.steps, self.first)
        self._log_resumption(restored)
        self.progress = Progress(pending, peak_flops_per_s(jax.devices()[0], config.compute_dtype))

    def to_the_end(self) -> None:
        """All steps that are left, or those until the machine is taken away."""
        config = self.config
        if self.validated < self.first and (self.first == 0 or self._due(self.first, config.validate_every)):
            self.validate(self.first)
        for step in range(self.first + 1, config.steps + 1):
            self.train_step(step)
            stopping = self.preemption.reached(step)
            if self._due(step, config.log_every):
                self.writer.train(step, self.progress.mean(), self.progress.timings())
            if self._due(step, config.validate_every) and not stopping:
                self.validate(step)
            if self._due(step, config.checkpoint_every) or stopping:
                self.save(step)
            if stopping:
                self.writer.print_line(f"asked to stop: saved step {step}; the same command goes on from there")
                break
        self.checkpoints.finish()

    def train_step(self, step: int) -> None:
        """Dispatches one step."""
        batch = self.progress.next_batch(self.batches)
        records = batch.pop("record")
        batch = parallel.shard_batch(batch, self.mesh)
        if step == self.first + 1:
            self.progress.flops_per_step = count_flops(self.step_fn, self.state, batch, self.step_key)
        self.state, metrics = self.step_fn(self.state, batch, self.step_key)
        self.samples += self.config.batch_size * self.config.accumulate
        self.progress.add(step, metrics, records)

    def validate(self, step: int) -> None:
        """Validation metrics of the present state, and what is to be seen and heard of it."""
        self.progress.pause()
        collected = []
        for i, batch in enumerate(_first(self.validation, self.config.validation_batches)):
            batch.pop("record")
            batch = parallel.shard_batch(parallel.fit_batch(batch, self.mesh), self.mesh)
            key = parallel.replicate(jax.random.fold_in(self.validation_key, i), self.mesh)
            collected.append(self.evaluate_fn(self.state, batch, key))
        self.results, self.validated = mean_metrics(collected), step
        if self.config.best_metric not in self.results:
            raise ConfigError(
                f"config.best_metric is {self.config.best_metric!r}; expected one of {', '.join(self.results)}."
            )
        self.writer.validation(step, self.results)
        if self.config.show_every and step and self._due(step, self.config.show_every):
            self.writer.summaries(step, self._summaries)
        self.progress.resume()

    def save(self, step: int) -> None:
        """Starts saving everything that the next process needs to go on."""
        progress = {
            "samples": self.samples,
            "validated": self.validated,
            "results": self.results,
            "pending": self.progress.pending(),
        }
        inference_params = self.system.inference_params(self.state)
        self.checkpoints.save(step, self.state, inference_params, progress, self.description, self.results)

    def sample_names(self, records: np.ndarray) -> list[str]:
        """What people call the records of a batch, each once."""
        return list(dict.fromkeys(self.system.sample_names(records.reshape(-1))))

    def last_good(self) -> str:
        """Where one may go on."""
        self.checkpoints.finish()
        steps = self.checkpoints.steps
        return f"the last good checkpoint is step {steps[-1]} of {self.workdir}" if steps else "nothing was saved yet"

    def close(self) -> None:
        if self.writer:
            self.writer.close()
        self.checkpoints.close()
        self.preemption.close()

    def _due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.config.steps

    def _log_resumption(self, restored: Restored | None) -> None:
        if restored is None:
            return
        for step, reason in sorted(restored.damaged.items()):
            self.writer.print_line(
                f"checkpoint {step} is damaged ({reason}) and was moved to {self.workdir / 'damaged'}"
            )
        self.writer.print_line(f"resumed {self.config.system} from step {self.first} of {self.workdir}")

    @functools.cached_property
    def _sample_logger(self) -> Callable[[Any], Iterable[Any]]:
        from evc_jax.training.samples import build_sample_logger

        return build_sample_logger(self.config, self.system.networks(), self.workdir)

    def _summaries(self) -> Iterable[Any]:
        return self._sample_logger(jax.device_get(self.system.inference_params(self.state)))


def _first(batches: Iterable, limit: int) -> Iterable:
    for i, batch in enumerate(batches):
        if i == limit:
            return
        yield batch
