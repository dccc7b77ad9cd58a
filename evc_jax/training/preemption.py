"""Noticing that the machine is about to be taken away (SIGTERM), so that the run saves itself first."""

from __future__ import annotations

import signal
import threading

import jax
from jax.experimental import multihost_utils


class Preemption:
    """Whether the loop is to save and stop; at the same step on every process."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._before = None
        # With several processes JAX itself takes the signal, to bring all of them to stop after one common step.
        if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, lambda *_: self._asked.set())

    def reached(self, step: int) -> bool:
        """Whether to stop after this step; called once per step by every process."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._asked.is_set()

    def close(self) -> None:
        """Restores the handler that was there before."""
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
