"""The one training loop. A system brings its data, its loss and its step; the loop does the rest."""

from __future__ import annotations

import contextlib
import functools
import json
import pkgutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from etils import epath

from evc_jax.config import to_mapping
from evc_jax.data.dataset import audio_config
from evc_jax.errors import ConfigError, TrainingError
from evc_jax.training import parallel, processes
from evc_jax.training.agreement import check_together
from evc_jax.training.checkpoints import Checkpoints
from evc_jax.training.clock import training_limit
from evc_jax.training.config import SYSTEMS, TrainConfig
from evc_jax.training.emotions import with_emotions
from evc_jax.training.flops import count_flops, peak_flops_per_s
from evc_jax.training.metrics_writer import MetricsWriter
from evc_jax.training.preemption import Preemption
from evc_jax.training.run_process import noted_process
from evc_jax.training.start_log import log_start
from evc_jax.training.step_stats import NotFinite, Progress, StepTrace, weighted_mean
from evc_jax.training.storage import check_writable, machine_errors, replaced_file
from evc_jax.training.system import build_system

NAMES_SHOWN = 20


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended: its last validation metrics, and whether it is finished or was asked to stop."""

    metrics: dict[str, float]
    finished: bool


def train(config: TrainConfig, workdir: epath.PathLike) -> TrainingResult:
    """Trains for `config.steps` or `config.minutes`, from the newest checkpoint of `workdir` on when there is one.

    On SIGTERM it saves and returns early; the same call resumes later.

    Raises:
      ConfigError, DataError, CheckpointError, TrainingError: each with one sentence of what to mend.
    """
    workdir = epath.Path(workdir)
    with machine_errors(config, workdir), contextlib.ExitStack() as resources:
        run = Run(config, workdir, resources)
        try:
            run.start()
            finished = run.to_the_end()
        except NotFinite as error:
            raise TrainingError(run.explain(error)) from error
    return TrainingResult(run.results, finished)


class Run:
    """One training run from where it stands to its end."""

    writer: MetricsWriter
    progress: Progress

    def __init__(self, config: TrainConfig, workdir: epath.Path, resources: contextlib.ExitStack):
        """Builds the system and its first state; `resources` closes what the run opens."""
        check_writable(workdir)
        config, self._emotions = with_emotions(config, workdir)
        self.config, self.workdir, self._resources = config, workdir, resources
        self.limit = training_limit(config)
        check_together(config, workdir, processes.current())
        self.mesh = parallel.device_mesh()
        self.local_batch_size = parallel.local_batch_size(config.batch_size, self.mesh)
        self.system = build_system(config, workdir)
        audio_config(config.data.data_dir, config.data.datasets)  # which must be one for all datasets
        self.preemption = resources.enter_context(contextlib.closing(Preemption()))
        key = jax.random.key(config.seed)
        self.state = parallel.init_replicated(self.system.init, jax.random.fold_in(key, 0), self.mesh)
        self.step_key = parallel.replicate(jax.random.fold_in(key, 1), self.mesh)
        self.validation_key = parallel.replicate(jax.random.fold_in(key, 2), self.mesh)
        self.step_fn = parallel.map_step(self.limit.timed(self.system.step), self.mesh, config.steps_per_call > 1)
        self.evaluate_fn = parallel.map_evaluation(self.system.evaluate, self.mesh)
        workdir.mkdir(parents=True, exist_ok=True)
        resources.enter_context(noted_process(workdir))
        checkpoints = Checkpoints(workdir, config.keep_checkpoints, config.best_metric)
        self.checkpoints = resources.enter_context(contextlib.closing(checkpoints))
        self.trace = resources.enter_context(contextlib.closing(StepTrace(workdir / "profile", *config.profiled)))
        self.description = {"config": to_mapping(config), "networks": self.system.networks()}
        self.results: dict[str, float] = {}
        self.first, self.calls, self.samples, self.validated = 0, 0, 0, -1

    def start(self) -> None:
        """Restores the newest checkpoint, and opens data and logs from its step on."""
        config = self.config
        restored = self.checkpoints.restore(self.state, self.description)
        pending: list[dict[str, float]] = []
        if restored:
            self.state, self.first = restored.state, restored.step
            self.samples, self.validated = restored.progress["samples"], restored.progress["validated"]
            self.results, pending = restored.progress["results"], restored.progress["pending"]
            self.limit.resume(restored.progress)
        if jax.process_index() == 0:
            with replaced_file(self.workdir / "config.json") as file:
                file.write((json.dumps(self.description["config"], indent=2) + "\n").encode())
        changed = log_start(self.workdir, self.first, self.description["config"])
        local = self.local_batch_size * config.accumulate
        self.batches = iter(self.system.data("train", local, self.samples))
        self.validation = self.system.data("validation", self.local_batch_size)
        writer = MetricsWriter(self.workdir, self.limit.total_steps, self.first)
        self.writer = self._resources.enter_context(contextlib.closing(writer))
        if restored:
            for step, reason in sorted(restored.damaged.items()):
                moved = self.workdir / "damaged"
                self.writer.print_line(f"checkpoint {step} is damaged ({reason}) and was moved to {moved}")
            self.writer.print_line(f"resumed {config.system} from step {self.first} of {self.workdir}")
            if changed:
                self.writer.print_line(changed)
        elif config.init_from:
            self.writer.print_line(f"{config.system} starts with parameters of {config.init_from}")
        if self._emotions:
            self.writer.print_line(self._emotions)
        self.progress = Progress(pending, peak_flops_per_s(jax.devices()[0].device_kind, config.compute_dtype))

    def to_the_end(self) -> bool:
        """All steps that are left, or those until the machine is taken away; whether it was not."""
        config, step, stopping = self.config, self.first, False
        if self.validated < step and (step == 0 or self._is_due(step, config.validate_every)):
            self.validate(step)
        while not (stopping or self.limit.reached(step)):
            count = self.limit.next_count(step)
            step += count
            self.train_steps(step, count)
            stopping = self.preemption.reached(self.calls)
            if self._is_due(step, config.log_every):
                metrics, timings = self.progress.mean(), self.progress.timings()
                self.writer.train(step, metrics, timings, self.limit.left_s(step, timings["steps_per_s"]))
            if self._is_due(step, config.validate_every) and not stopping:
                self.validate(step)
            asks_to_save = self.limit.asks_to_save()
            if self._is_due(step, config.checkpoint_every) or asks_to_save or stopping:
                self.save(step)
            elif self.calls == 1 and self.limit.saves_first_step:
                start_s = time.monotonic()
                self.save(step)
                self.checkpoints.finish()
                self.limit.saved(time.monotonic() - start_s)
        self.checkpoints.finish()
        resumed = f"asked to stop: saved step {step}; the same command resumes from there"
        self.writer.print_line(resumed if stopping else self.limit.ended(step))
        return not stopping

    def train_steps(self, step: int, count: int) -> None:
        """Dispatches the `count` steps up to `step` in one call."""
        several = self.config.steps_per_call > 1
        read = [self.progress.next_batch(self.batches) for _ in range(count)]
        records = np.stack([batch.pop("record") for batch in read])
        read = [self.limit.before_call(batch, len(self.mesh.local_devices)) for batch in read]
        together = {name: np.stack([batch[name] for batch in read]) for name in read[0]} if several else read[0]
        batch = parallel.shard_batch(together, self.mesh, several)
        if not self.calls:
            self.progress.flops_per_step = count_flops(self.step_fn, self.state, batch, self.step_key) / count
        self.state, metrics = self.trace.run(step, count, self.step_fn, self.state, batch, self.step_key)
        self.limit.after_call(metrics)
        self.calls += 1
        self.samples += self.config.batch_size * self.config.accumulate * count
        self.progress.add(step, metrics, records)

    def validate(self, step: int) -> None:
        """Validation metrics of the present state, and pictures and sound of it."""
        config = self.config
        with self.progress.paused():
            sums, start_s = [], time.monotonic()
            for batch in self.validation:
                batch.pop("record")
                sums.append(self.evaluate_fn(self.state, parallel.shard_batch(batch, self.mesh), self.validation_key))
                if len(sums) == 1:  # before it, the program may be compiled
                    jax.block_until_ready(sums)
                    start_s = time.monotonic()
            self.results, self.validated = weighted_mean(sums), step
            if config.best_metric not in self.results:
                known = ", ".join(self.results)
                raise ConfigError(f"config.best_metric is {config.best_metric!r}; expected one of {known}.")
            self.limit.validated((time.monotonic() - start_s) * len(sums) / max(1, len(sums) - 1))
            self.writer.validation(step, self.results)
            if config.show_every and step and self._is_due(step, config.show_every):
                self.writer.summaries(step, self._summaries)

    def save(self, step: int) -> None:
        """Starts saving everything that a later process needs to resume."""
        progress = {
            "samples": self.samples,
            "validated": self.validated,
            "results": self.results,
            "pending": self.progress.pending(),
            **self.limit.progress(),
        }
        inference_params = self.system.inference_params(self.state)
        self.checkpoints.save(
            step, self.state, inference_params, progress, self.description, self.results, self.validated
        )

    def explain(self, error: NotFinite) -> str:
        """The sentence for a loss that is not finite: on which records, and what the newest checkpoint is."""
        names = list(dict.fromkeys(self.system.sample_names(error.records.reshape(-1))))
        shown = ", ".join(names[:NAMES_SHOWN])
        if len(names) > NAMES_SHOWN:
            shown += f" and {len(names) - NAMES_SHOWN} more"
        self.checkpoints.finish()
        steps = self.checkpoints.steps
        saved = f"the last good checkpoint is step {steps[-1]} of {self.workdir}" if steps else "nothing was saved yet"
        return (
            f"Step {error.step} of {self.config.system} gave {error.metric} {error.value} on {shown}; {saved}: look at "
            "these recordings, or resume from there with a lower config.optimizer.learning_rate."
        )

    def _is_due(self, step: int, every: int) -> bool:
        """Whether the newest call, which ended with `step`, made the step at which something is due, or the last."""
        before = step - self.config.steps_per_call
        return step // every > before // every or self.limit.reached(step)

    @functools.cached_property
    def _sample_logger(self) -> Callable[[Any], Iterable[Any]]:
        # Imported when it is needed: it brings matplotlib.
        system = self.config.system
        kind = pkgutil.resolve_name(f"evc_jax.training.samples.{system}:{SYSTEMS[system]}SampleLogger")
        return kind(self.config, self.system.networks()[system])

    def _summaries(self) -> Iterable[Any]:
        return self._sample_logger(jax.device_get(self.system.inference_params(self.state)))
