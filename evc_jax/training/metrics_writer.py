"""Where a run's numbers go: TensorBoard, JSON lines, and a line on the terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import jax
from etils import epath

from evc_jax.pretrained.workdir import LOG_FILE, logged_metrics
from evc_jax.training.storage import replaced_file

# Measurements of the machine: everything else in the log is the same in every run of the same command.
TIMINGS = ("steps_per_s", "input_share", "flops_per_s", "utilisation")
FLUSH_EVERY_S = 30.0


class MetricsWriter:
    """Writes scalars, pictures and sound of one run. Only the first process writes."""

    def __init__(self, workdir: epath.PathLike, total_steps: int | None, first_step: int):
        """Opens `workdir`/metrics.jsonl and `workdir`/tensorboard; what they hold of later steps is taken back.

        `total_steps` is None where the clock ends the training.
        """
        self._log = epath.Path(workdir) / LOG_FILE
        self._active = jax.process_index() == 0
        self._of_total = f"/{total_steps}" if total_steps else ""
        if self._active:
            self._lines = _keep_until(workdir, first_step)
            self._events = EventFile(epath.Path(workdir) / "tensorboard", first_step + 1)

    def train(self, step: int, metrics: Mapping[str, float], timings: Mapping[str, float], left_s: float) -> None:
        """Logs training metrics, the speed and the time left."""
        self._write("train", step, {**metrics, **timings})
        speed = timings["steps_per_s"]
        left = timedelta(seconds=round(left_s))
        shares = {"utilisation": "of peak FLOP/s", "input_share": "waiting for data"}
        extra = "".join(f"  {timings[name]:.0%} {text}" for name, text in shares.items() if name in timings)
        self.print_line(f"step {step}{self._of_total}  {_text(metrics)}  {speed:.2f} steps/s{extra}  ETA {left}")

    def validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Logs validation metrics."""
        self._write("validation", step, metrics)
        self.print_line(f"step {step}{self._of_total}  validation  {_text(metrics)}")

    def summaries(self, step: int, make: Callable[[], Iterable[Any]]) -> None:
        """Writes pictures and sound; they are made only on the process that writes."""
        if self._active:
            for summary in make():
                self._events.add(summary, step)
            self._events.flush()

    def print_line(self, line: str) -> None:
        """Prints a line with the time of day."""
        if self._active:
            print(f"{datetime.now():%H:%M:%S} {line}", flush=True)

    def close(self) -> None:
        if self._active:
            self._events.close()

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
            self._events.add(tensorboard().summary.scalar(f"{split}/{name}", value), step)


class EventFile:
    """TensorBoard's event file, written by the caller itself.

    tensorboardX's `SummaryWriter` writes in a thread, which ends when the disk is full; whoever adds to its queue then
    waits for ever, and Python's end as well.
    """

    def __init__(self, folder: epath.Path, purge_step: int):
        """Opens a new file in `folder`; TensorBoard drops what older ones hold from `purge_step` on."""
        folder.mkdir(parents=True, exist_ok=True)
        self._protobuf = tensorboard().proto.event_pb2
        self._file = tensorboard().event_file_writer.EventsWriter(str(folder / "events"))
        self._flushed_s = time.monotonic()
        log = self._protobuf.SessionLog(status=self._protobuf.SessionLog.START)
        self._file.write_event(self._protobuf.Event(step=purge_step, session_log=log))

    def add(self, summary: Any, step: int) -> None:
        """Adds one of the results of `tensorboardX.summary`."""
        self._file.write_event(self._protobuf.Event(wall_time=time.time(), step=step, summary=summary))
        if time.monotonic() - self._flushed_s > FLUSH_EVERY_S:
            self.flush()

    def flush(self) -> None:
        """Writes to the disk what is waiting."""
        self._file.flush()
        self._flushed_s = time.monotonic()

    def close(self) -> None:
        self._file.close()


def tensorboard() -> Any:
    """The package tensorboardX.

    It imports PyTorch wherever that is installed, and has no switch against it: seconds, and a second cuDNN beside
    JAX's. A name that is None in `sys.modules` is what Python treats as not installed.
    """
    if "tensorboardX" not in sys.modules and "torch" not in sys.modules:
        sys.modules["torch"] = None  # type: ignore[assignment]
        try:
            import tensorboardX
        finally:
            del sys.modules["torch"]
    import tensorboardX
    import tensorboardX.event_file_writer
    import tensorboardX.summary

    return tensorboardX


def _keep_until(workdir: epath.PathLike, step: int) -> list[str]:
    """The lines up to `step`; takes back later ones, which a resumed run writes again, and one cut off by a kill."""
    log = epath.Path(workdir) / LOG_FILE
    kept = [json.dumps(record) + "\n" for record in logged_metrics(workdir) if 0 < step >= record["step"]]
    if log.exists():
        with replaced_file(log) as file:
            file.write("".join(kept).encode())
    return kept


def _text(metrics: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
