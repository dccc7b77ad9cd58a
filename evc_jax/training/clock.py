"""When a training ends: after a number of steps, or after a number of minutes.

By the clock, warm-up and decay follow the share of the time that has passed. The share is an input of the compiled
step: each process gives its own, the step takes the first process's on every device, and returns it. All processes
therefore use the same learning rate and end after the same step, without waiting for one another.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evc_jax.training.config import TrainConfig
from evc_jax.training.parallel import of_first_device
from evc_jax.training.step_stats import STEPS_AHEAD

SHARE = "share"
SECONDS_PER_MINUTE = 60.0
# A training by the clock that is cut off loses at most this share of its time, whatever `config.checkpoint_every` is.
SAVED_SHARE = 0.2


class StepLimit:
    """A training of `config.steps`."""

    # Whether the first step is saved, to see what that takes.
    saves_first_step = False

    def __init__(self, config: TrainConfig):
        self._config = config
        self.total_steps: int | None = config.steps

    def timed(self, step: Callable) -> Callable:
        """A system's step as it is to be compiled."""
        return step

    def next_count(self, step: int) -> int:
        """How many steps the next call makes, after step number `step`."""
        return min(self._config.steps_per_call, self._config.steps - step)

    def before_call(self, batch: dict[str, np.ndarray], devices: int) -> dict[str, np.ndarray]:
        """The batch of a step with what the compiled step needs besides, for so many devices of this process."""
        del devices
        return batch

    def after_call(self, metrics: dict[str, jax.Array]) -> None:
        """Takes what is not a metric from the results of a call."""

    def reached(self, step: int) -> bool:
        """Whether the training ends after step number `step`; the same on every process."""
        return step >= self._config.steps

    def left_s(self, step: int, steps_per_s: float) -> float:
        """Time until the end."""
        return (self._config.steps - step) / max(steps_per_s, 1e-9)

    def asks_to_save(self) -> bool:
        """Whether a checkpoint is to be written now; the same on every process."""
        return False

    def validated(self, seconds: float) -> None:
        """Notes what a validation took."""

    def saved(self, seconds: float) -> None:
        """Notes what writing a checkpoint took."""

    def progress(self) -> dict[str, float]:
        """What a checkpoint stores for `resume`."""
        return {}

    def resume(self, progress: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""

    def ended(self, step: int) -> str:
        """A line for the log at the end."""
        return f"trained {step} steps"


class TimeLimit(StepLimit):
    """A training of `config.minutes`, over all the processes that continue it.

    The last validation and the last checkpoint are to end with the time: what the ones before took is kept back.
    """

    saves_first_step = True

    def __init__(self, config: TrainConfig):
        super().__init__(config)
        self.total_steps = None
        self._limit_s = config.minutes * SECONDS_PER_MINUTE
        self._validation_s, self._saving_s = 0.0, 0.0
        self._start_s, self._before_s = time.monotonic(), 0.0
        self._shares: deque[jax.Array] = deque(maxlen=STEPS_AHEAD + 1)
        self._calls, self._called_s, self._call_s = 0, 0.0, 0.0
        self._passed_share, self._saved_shares = 0.0, 0

    def timed(self, step: Callable) -> Callable:
        def timed_step(state: Any, batch: dict[str, jax.Array], key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
            share = of_first_device(batch[SHARE][0])
            rest = {name: value for name, value in batch.items() if name != SHARE}
            count = (share * self._config.steps).astype(jnp.int32)
            state, metrics = step(_set_schedules(state, count), rest, key)
            return state, {**metrics, SHARE: share}

        return timed_step

    def next_count(self, step: int) -> int:
        return self._config.steps_per_call

    def before_call(self, batch: dict[str, np.ndarray], devices: int) -> dict[str, np.ndarray]:
        return {**batch, SHARE: np.full(devices, self._share(), np.float32)}

    def after_call(self, metrics: dict[str, jax.Array]) -> None:
        now_s = self._elapsed_s()
        if self._calls > 1:  # the first call compiled
            self._call_s = now_s - self._called_s
        self._calls, self._called_s = self._calls + 1, now_s
        self._shares.append(metrics.pop(SHARE))
        if len(self._shares) > STEPS_AHEAD:
            # The newest share that the devices are sure to have finished with.
            self._passed_share = float(np.max(self._shares[0]))

    def reached(self, step: int) -> bool:
        return self._passed_share >= 1.0

    def left_s(self, step: int, steps_per_s: float) -> float:
        return max(0.0, self._limit_s - self._elapsed_s())

    def asks_to_save(self) -> bool:
        shares = int(self._passed_share / SAVED_SHARE)
        asks, self._saved_shares = shares > self._saved_shares, shares
        return asks

    def validated(self, seconds: float) -> None:
        self._validation_s = seconds

    def saved(self, seconds: float) -> None:
        self._saving_s = seconds

    def progress(self) -> dict[str, float]:
        return {"elapsed_s": self._limit_s if self._passed_share >= 1.0 else self._elapsed_s()}

    def resume(self, progress: dict[str, Any]) -> None:
        self._before_s = progress.get("elapsed_s", 0.0)
        self._passed_share = self._before_s / self._limit_s
        self._saved_shares = int(self._passed_share / SAVED_SHARE)

    def ended(self, step: int) -> str:
        minutes = self._limit_s / SECONDS_PER_MINUTE
        return f"{minutes:g} minutes are over; they became {step} steps"

    def _elapsed_s(self) -> float:
        return self._before_s + time.monotonic() - self._start_s

    def _share(self) -> float:
        """How much of the time for steps has passed, at most 1."""
        kept_back_s = self._validation_s + self._saving_s + (STEPS_AHEAD + 1) * self._call_s
        return min(1.0, self._elapsed_s() / max(1e-9, self._limit_s - kept_back_s))


def training_limit(config: TrainConfig) -> StepLimit:
    """The limit that the configuration sets to a training, whose time begins."""
    return TimeLimit(config) if config.minutes else StepLimit(config)


def _set_schedules(state: Any, count: jax.Array) -> Any:
    """The state with the learning rates' schedules after `count` steps."""

    def is_schedule(node: Any) -> bool:
        return isinstance(node, optax.ScaleByScheduleState)

    return jax.tree.map(
        lambda node: node._replace(count=count) if is_schedule(node) else node, state, is_leaf=is_schedule
    )
