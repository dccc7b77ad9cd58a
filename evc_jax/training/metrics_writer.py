"""Where a run's numbers go: TensorBoard, JSON lines, and a line on the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import jax
from etils import epath

# What depends on the machine's mood: everything else in the log is the same in every run of the same command.
TIMINGS = ("steps_per_s", "input_share", "flops_per_s", "utilisation")
LOG_FILE = "metrics.jsonl"


class MetricsWriter:
    """Writes scalars, pictures and sound of one run. Only the first process writes."""

    def __init__(self, workdir: epath.PathLike, total_steps: int, first_step: int):
        """Opens `workdir`/metrics.jsonl and `workdir`/tensorboard; what they tell of later steps is taken back."""
        self._log = epath.Path(workdir) / LOG_FILE
        self._active = jax.process_index() == 0
        self._total_steps = total_steps
        self._tensorboard = None
        if self._active:
            self._lines = _keep_until(self._log, first_step)
            # Its thread ends when the disk is full; a short queue would then block the training instead of telling.
            folder = str(epath.Path(workdir) / "tensorboard")
            self._tensorboard = _summary_writer()(folder, purge_step=first_step + 1, max_queue=1_000_000)

    def train(self, step: int, metrics: Mapping[str, float], timings: Mapping[str, float]) -> None:
        """Logs training metrics, the speed and the time left."""
        self._write("train", step, {**metrics, **timings})
        speed = timings["steps_per_s"]
        left = timedelta(seconds=round((self._total_steps - step) / max(speed, 1e-9)))
        shares = {"utilisation": "of peak FLOP/s", "input_share": "waiting for data"}
        extra = "".join(f"  {timings[name]:.0%} {text}" for name, text in shares.items() if name in timings)
        self.print_line(f"step {step}/{self._total_steps}  {_text(metrics)}  {speed:.2f} steps/s{extra}  ETA {left}")

    def validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Logs validation metrics."""
        self._write("validation", step, metrics)
        self.print_line(f"step {step}/{self._total_steps}  validation  {_text(metrics)}")

    def summaries(self, step: int, make: Callable[[], Iterable[Any]]) -> None:
        """Shows pictures and sound; they are made only where they are written."""
        if self._active:
            from evc_jax.training.samples import write_summaries

            write_summaries(self._tensorboard, make(), step)

    def print_line(self, line: str) -> None:
        """Prints a line with the time of day."""
        if self._active:
            print(f"{datetime.now():%H:%M:%S} {line}", flush=True)

    def abandon(self) -> None:
        """Gives up what TensorBoard has not written yet: on a full disk it would wait for ever, or fail once more."""
        if self._tensorboard is not None:
            self._tensorboard.file_writer.event_writer.close = lambda: None  # which is called when Python ends
            self._tensorboard = None

    def close(self) -> None:
        if self._tensorboard is not None:
            self._tensorboard.close()

    def _write(self, split: str, step: int, metrics: Mapping[str, float]) -> None:
        if not self._active:
            return
        self._lines.append(json.dumps({"split": split, "step": step, **metrics}) + "\n")
        if "://" in str(self._log):  # objects in a bucket cannot be appended to
            self._log.write_text("".join(self._lines))
        else:
            with self._log.open("a") as log:
                log.write(self._lines[-1])
        for name, value in metrics.items():
            self._tensorboard.add_scalar(f"{split}/{name}", value, step)


def _summary_writer() -> type:
    """tensorboardX's writer. Where PyTorch is installed it would import that too, for a second and for nothing."""
    hidden = {} if "torch" in sys.modules else {"torch": None}
    sys.modules.update(hidden)
    try:
        from tensorboardX import SummaryWriter
    finally:
        for name in hidden:
            del sys.modules[name]
    return SummaryWriter


def _keep_until(log: epath.Path, step: int) -> list[str]:
    """The lines up to `step`; takes back later ones, which a resumed run writes again, and one cut off by a kill."""
    kept: list[str] = []
    if not log.exists():
        return kept
    for line in log.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step and step > 0:
                kept.append(line + "\n")
        except ValueError:
            continue
    beside = log.with_name(f"{log.name}.new")
    beside.write_text("".join(kept))
    beside.replace(log)
    return kept


def _text(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
