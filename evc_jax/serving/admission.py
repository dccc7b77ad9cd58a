"""How many requests are accepted, and until when each may be worked on."""

from __future__ import annotations

import contextlib
import contextvars
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

RETRY_AFTER_S = 2

_DEADLINE: contextvars.ContextVar[float] = contextvars.ContextVar("deadline", default=math.inf)


class ExpiredError(Exception):
    """The time for this request is over."""


def check_deadline() -> None:
    """Raises ExpiredError if the calling thread works for a ticket whose deadline has passed."""
    if time.monotonic() > _DEADLINE.get():
        raise ExpiredError


class Ticket:
    """One request's place, held until its answer is sent and its work has ended, whichever is later."""

    def __init__(self, admission: Admission):
        self.deadline = time.monotonic() + admission.timeout_s
        self._admission = admission
        self._work: Future | None = None

    def hold_for(self, work: Future) -> None:
        """Work that cannot be interrupted keeps the place, even after the answer is sent."""
        self._work = work

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Inside, the request counts as running, and `check_deadline` raises past its deadline, at the start too."""
        token = _DEADLINE.set(self.deadline)
        self._admission.count_running(1)
        try:
            check_deadline()
            yield
        finally:
            self._admission.count_running(-1)
            _DEADLINE.reset(token)

    def close(self) -> None:
        """The request is answered."""
        if self._work is None:
            self._admission.leave()
        else:
            self._work.add_done_callback(lambda _: self._admission.leave())


class Admission:
    """Counts accepted requests and those of them that compute."""

    def __init__(self, capacity: int, timeout_s: float):
        """`capacity` requests are accepted at once; each has `timeout_s` seconds."""
        self.capacity = capacity
        self.timeout_s = timeout_s
        self._lock = threading.Lock()
        self.admitted = 0
        self.running = 0

    def enter(self) -> Ticket | None:
        """A place for a request, to be closed; None when all are taken."""
        with self._lock:
            if self.admitted >= self.capacity:
                return None
            self.admitted += 1
        return Ticket(self)

    def leave(self) -> None:
        """Frees a place."""
        with self._lock:
            self.admitted -= 1

    def count_running(self, change: int) -> None:
        """Adds to the number of requests that compute."""
        with self._lock:
            self.running += change
