"""How many requests are accepted, until when each may be worked on, and when a refused one may come again."""

from __future__ import annotations

import contextlib
import contextvars
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

MAX_RETRY_AFTER_S = 60
_GUESSED_S = 1.0  # the duration of a request before any was measured
_NEWEST_SHARE = 0.2  # of the mean duration, so that about the last ten requests count

_TICKET: contextvars.ContextVar[Ticket | None] = contextvars.ContextVar("ticket", default=None)


class ExpiredError(Exception):
    """The time for this request is over, or nobody waits for its answer."""


def check_deadline() -> None:
    """Raises ExpiredError if the calling thread works for a ticket whose deadline has passed."""
    ticket = _TICKET.get()
    if ticket is not None and time.monotonic() > ticket.deadline:
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

    def cancel(self) -> None:
        """Nobody waits for the answer any more: the work ends at its next `check_deadline`."""
        self.deadline = -math.inf

    def left_s(self) -> float:
        """Seconds until the deadline; 0 after it."""
        return max(0.0, self.deadline - time.monotonic())

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Inside, the request counts as running, and `check_deadline` raises past its deadline, at the start too."""
        token, started = _TICKET.set(self), time.monotonic()
        self._admission.count_running(1)
        try:
            check_deadline()
            yield
            self._admission.note_duration(time.monotonic() - started)
        finally:
            self._admission.count_running(-1)
            _TICKET.reset(token)

    def close(self) -> None:
        """The request is answered."""
        if self._work is None:
            self._admission.leave()
        else:
            self._work.add_done_callback(lambda _: self._admission.leave())


class Admission:
    """Counts accepted requests and those of them that compute."""

    def __init__(self, capacity: int, timeout_s: float, workers: int = 1):
        """`capacity` requests are accepted at once, `workers` of them compute; each has `timeout_s` seconds."""
        self.capacity = capacity
        self.timeout_s = timeout_s
        self._workers = workers
        self._lock = threading.Lock()
        self._mean_s: float | None = None
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

    def note_duration(self, seconds: float) -> None:
        """A request was computed in so many seconds."""
        with self._lock:
            mean_s = seconds if self._mean_s is None else self._mean_s
            self._mean_s = mean_s + _NEWEST_SHARE * (seconds - mean_s)

    def retry_after_s(self) -> int:
        """Whole seconds until those that wait now will have been computed, from 1 to `MAX_RETRY_AFTER_S`."""
        with self._lock:
            waiting, mean_s = self.admitted - self.running, _GUESSED_S if self._mean_s is None else self._mean_s
        return max(1, min(MAX_RETRY_AFTER_S, math.ceil(waiting * mean_s / self._workers)))
