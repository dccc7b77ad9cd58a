"""When an answer is no longer wanted: work that nobody waits for stops at the next step."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Iterator

_DEADLINE: contextvars.ContextVar[float] = contextvars.ContextVar("deadline", default=float("inf"))


class ExpiredError(Exception):
    """The time for this request is over."""


@contextlib.contextmanager
def until(deadline: float) -> Iterator[None]:
    """Inside, `check` raises once `time.monotonic()` is past the deadline; for the calling thread or task alone."""
    token = _DEADLINE.set(deadline)
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def check() -> None:
    """Raises ExpiredError past the deadline."""
    if time.monotonic() > _DEADLINE.get():
        raise ExpiredError
