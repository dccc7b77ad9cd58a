"""Where a run's numbers go: TensorBoard, JSON lines, and a line on the terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime, timedelta

import jax
from etils import epath


class MetricsWriter:
    """Writes scalars of one run. Only the first process writes."""

    def __init__(self, workdir: epath.PathLike, total_steps: int, first_step: int):
        """Opens `workdir`/metrics.jsonl and `workdir`/tensorboard for appending."""
        self._workdir = epath.Path(workdir)
        self._active = jax.process_index() == 0
        self._total_steps = total_steps
        self._last_step, self._last_time_s = first_step, time.monotonic()
        self._tensorboard = None
        if self._active:
            from tensorboardX import SummaryWriter

            self._tensorboard = SummaryWriter(str(self._workdir / "tensorboard"))

    def train(self, step: int, metrics: Mapping[str, float]) -> None:
        """Logs training metrics, with the speed since the last call and the time left."""
        now_s = time.monotonic()
        speed = (step - self._last_step) / max(1e-9, now_s - self._last_time_s)
        self._last_step, self._last_time_s = step, now_s
        left = timedelta(seconds=round((self._total_steps - step) / max(speed, 1e-9)))
        self._write("train", step, {**metrics, "steps_per_s": speed})
        self.say(f"step {step}/{self._total_steps}  {_text(metrics)}  {speed:.2f} steps/s  ETA {left}")

    def validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Logs validation metrics; the time they took does not count against the training's speed."""
        self._write("validation", step, metrics)
        self.say(f"step {step}/{self._total_steps}  validation  {_text(metrics)}")

    def say(self, line: str) -> None:
        """Prints a line with the time of day."""
        if self._active:
            print(f"{datetime.now():%H:%M:%S} {line}", flush=True)

    def pause(self) -> float:
        """Returns a mark for `resume`; what lies between is not counted as training time."""
        return time.monotonic()

    def resume(self, mark: float) -> None:
        self._last_time_s += time.monotonic() - mark

    def close(self) -> None:
        if self._tensorboard is not None:
            self._tensorboard.close()

    def _write(self, split: str, step: int, metrics: Mapping[str, float]) -> None:
        if not self._active:
            return
        with (self._workdir / "metrics.jsonl").open("a") as log:
            log.write(json.dumps({"split": split, "step": step, **metrics}) + "\n")
        for name, value in metrics.items():
            self._tensorboard.add_scalar(f"{split}/{name}", value, step)


def _text(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
