"""How many requests are let in, and how many of those compute at once."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Future

MAX_RETRY_AFTER_S = 60
_MEMORY = 0.8


class Cores:
    """A semaphore that lets go first whoever has begun, so that requests end one after the other, not all at last."""

    def __init__(self, count: int):
        self._count = count
        self._returning = 0
        self._changed = threading.Condition()
        self.busy = 0

    def acquire(self, returning: bool = False) -> None:
        """Waits for a free core; who is `returning` to its work comes before who begins it."""
        with self._changed:
            self._returning += returning
            self._changed.wait_for(lambda: self.busy < self._count and (returning or not self._returning))
            self._returning -= returning
            self.busy += 1
            self._changed.notify_all()

    def release(self) -> None:
        """Leaves it to another thread."""
        with self._changed:
            self.busy -= 1
            self._changed.notify_all()

    def __enter__(self) -> Cores:
        self.acquire()
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


class Ticket:
    """One request's place, held until its answer is sent and its work has ended, whichever is later."""

    def __init__(self, admission: Admission, timeout_s: float):
        self.started = time.monotonic()
        self.deadline = self.started + timeout_s
        self._admission = admission
        self._work: Future | None = None

    def hold_for(self, work: Future) -> None:
        """Work that cannot be interrupted keeps the place even when nobody waits for the answer any more."""
        self._work = work

    def close(self) -> None:
        """The request is answered."""
        if self._work is None:
            self._leave()
        else:
            self._work.add_done_callback(lambda _: self._leave())

    def _leave(self) -> None:
        self._admission.leave(time.monotonic() - self.started)


class Admission:
    """Counts requests under way and waiting."""

    def __init__(self, capacity: int, timeout_s: float):
        """`capacity` requests are let in at once; each has `timeout_s` seconds."""
        self._capacity = capacity
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._usual_s = 1.0
        self.admitted = 0

    def enter(self) -> Ticket | None:
        """A place for a request, to be closed; None when all are taken."""
        with self._lock:
            if self.admitted >= self._capacity:
                return None
            self.admitted += 1
        return Ticket(self, self._timeout_s)

    def leave(self, seconds: float) -> None:
        """A place is free again after so many seconds."""
        with self._lock:
            self.admitted -= 1
            self._usual_s = _MEMORY * self._usual_s + (1 - _MEMORY) * seconds

    @property
    def retry_after_s(self) -> int:
        """When to try again: after half the time that requests took lately."""
        return min(MAX_RETRY_AFTER_S, max(1, math.ceil(self._usual_s / 2)))
