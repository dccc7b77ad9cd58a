"""Statistics of the steps that have run: metrics not yet logged, where time went, whether all is finite, a trace."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from etils import epath

# Steps the host may be ahead of the devices; more would only pile up batches in their memory.
STEPS_AHEAD = 2


class NotFinite(Exception):
    """A step whose loss is not a number."""

    def __init__(self, step: int, metric: str, value: float, records: np.ndarray):
        super().__init__(f"step {step}: {metric} is {value}")
        self.step, self.metric, self.value, self.records = step, metric, value, records


class Progress:
    """Collects the metrics of steps, fetched only when they are needed, so that steps are dispatched ahead."""

    def __init__(self, pending: list[dict[str, float]], peak_flops_per_s: float | None):
        """
        Args:
          pending: metrics of steps that another process ran and did not log.
          peak_flops_per_s: of one device; None where it is not known.
        """
        self.flops_per_step = 0.0  # of one device; set once a step is known
        self._fetched = list(pending)
        self._running: list[tuple[int, dict[str, jax.Array], np.ndarray]] = []
        self._peak = peak_flops_per_s
        self._restart_clock()

    def next_batch(self, batches: Iterator[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """The next batch; the time that it takes is the input pipeline's."""
        start_s = time.monotonic()
        batch = next(batches)
        self._input_s += time.monotonic() - start_s
        return batch

    def add(self, step: int, metrics: dict[str, jax.Array], records: np.ndarray) -> None:
        """Adds the dispatched steps up to this one and the records of their batches.

        Args:
          step: the last one's number.
          metrics: arrays with a value for each of the steps, or scalars of a single one.
          records: of each step, along the first axis.
        """
        self._running.append((step, metrics, records))
        self._steps += len(records)
        if len(self._running) > STEPS_AHEAD:
            jax.block_until_ready(self._running[-1 - STEPS_AHEAD][1])

    def pending(self) -> list[dict[str, float]]:
        """The metrics since the last `mean`, one mapping per step.

        Raises:
          NotFinite: the first step with a value that is not finite.
        """
        for last, metrics, records in self._running:
            fetched = {name: np.atleast_1d(values) for name, values in jax.device_get(metrics).items()}
            for i, of_step in enumerate(records):
                values = {name: float(series[i]) for name, series in fetched.items()}
                for name, value in values.items():
                    if not math.isfinite(value):
                        raise NotFinite(last - len(records) + 1 + i, name, value, of_step)
                self._fetched.append(values)
        self._running = []
        return self._fetched

    def mean(self) -> dict[str, float]:
        """The mean of each pending metric; none is pending afterwards."""
        metrics, self._fetched = mean_metrics(self.pending()), []
        return metrics

    def timings(self) -> dict[str, float]:
        """Speed since the last call, and the share of the time in which the loop waited for data."""
        elapsed_s = max(1e-9, time.monotonic() - self._start_s - self._paused_s)
        speed = self._steps / elapsed_s
        timings = {"steps_per_s": speed, "input_share": self._input_s / elapsed_s}
        timings["flops_per_s"] = speed * self.flops_per_step
        if self._peak:
            timings["utilisation"] = timings["flops_per_s"] / self._peak
        self._restart_clock()
        return timings

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stops the clock within the block: what runs there is not training."""
        start_s = time.monotonic()
        yield
        self._paused_s += time.monotonic() - start_s

    def _restart_clock(self) -> None:
        self._start_s, self._paused_s, self._input_s, self._steps = time.monotonic(), 0.0, 0.0, 0


class StepTrace:
    """Traces some of the steps with `jax.profiler`, for TensorBoard and XProf."""

    def __init__(self, folder: epath.Path, first: int, last: int):
        """Traces the steps from `first` to `last`, both included, into `folder`; none where `last` is 0."""
        self._folder, self._first, self._last = folder, first, last
        self._running = False

    def run(self, step: int, count: int, function: Callable, *args: Any) -> Any:
        """Calls `function` as the `count` steps up to that one, within the trace if it has one of them."""
        if not self._running and self._first <= step < self._last + count:
            jax.profiler.start_trace(str(self._folder))
            self._running = True
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
            results = function(*args)
        if self._running and step >= self._last:
            jax.block_until_ready(results)
            self.close()
        return results

    def close(self) -> None:
        """Writes the trace of a training that ends before its last step."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()


def mean_metrics(collected: list[dict[str, Any]]) -> dict[str, float]:
    """The mean of each metric over a list of them."""
    fetched = jax.device_get(collected)
    return {name: float(np.mean([metrics[name] for metrics in fetched])) for name in fetched[0]} if fetched else {}


def weighted_mean(sums: list[dict[str, Any]]) -> dict[str, float]:
    """The mean of each metric, from the sums over batches that `parallel.map_evaluation` gives."""
    fetched = jax.device_get(sums)
    total = {name: float(np.sum([batch[name] for batch in fetched], dtype=np.float64)) for name in fetched[0]}
    weight = total.pop("weight")
    return {name: value / weight for name, value in total.items()}
