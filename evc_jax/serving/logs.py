"""The server's log on standard error, as text or one JSON object a line: its own lines, uvicorn's and warnings."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from evc_jax.serving.settings import JSON_LOGS

LOGGER = logging.getLogger("evc_jax.serving")
_PLAIN = re.compile(r"[\x21\x23-\x7e]+")  # what a value may consist of without quotation marks


@dataclass
class RequestRecord:
    """What a request's line in the log says of it, beside what its answer tells.

    Attributes:
      request_id: also answered as X-Request-ID.
      audio_in_s, audio_out_s: seconds of sound received and sent.
      queue: requests admitted, itself among them, when it was.
    """

    request_id: str
    audio_in_s: float = 0.0
    audio_out_s: float = 0.0
    queue: int | None = None


# Of the request that a task or a thread works for.
CURRENT: ContextVar[RequestRecord | None] = ContextVar("request", default=None)


@contextlib.contextmanager
def installed(log_format: str, level: str) -> Iterator[None]:
    """Inside, everything that is logged, and every warning, is a line on standard error.

    Lines of other libraries are shown from warnings on, unless `level` is debug or above that.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == JSON_LOGS else TextFormatter())
    own, root = level.upper(), logging.getLogger()
    others = own if own in ("DEBUG", "ERROR") else "WARNING"
    before = root.handlers, root.level, LOGGER.level
    root.handlers = [handler]
    root.setLevel(others)
    LOGGER.setLevel(own)
    # What compiles and reads parameters tells much that is of no use to an operator.
    quiet = {name: logging.getLogger(name).level for name in ("jax", "absl", "asyncio", "python_multipart")}
    for name in quiet:
        logging.getLogger(name).setLevel(logging.WARNING if others == "DEBUG" else logging.NOTSET)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        root.handlers, level_before, own_before = before
        root.setLevel(level_before)
        LOGGER.setLevel(own_before)
        for name, value in quiet.items():
            logging.getLogger(name).setLevel(value)


def _show_warning(message, category: type[Warning], *place: Any, **rest: Any) -> None:
    """Takes the place of `warnings.showwarning`."""
    LOGGER.warning("%s", message)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a line says beside its message; a request's lines carry its id."""
    current = CURRENT.get()
    identified = {"request_id": current.request_id} if current else {}
    return {**getattr(record, "fields", {}), **identified}


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """Time, level, message, then NAME=VALUE; the traceback of an error in lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        # Whatever a client sent, a line stays one line.
        message = "".join(char if char.isprintable() else repr(char)[1:-1] for char in record.getMessage())
        fields = "".join(f" {name}={_text(value)}" for name, value in _fields(record).items())
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{_time(record)} {record.levelname.lower()}: {message}{fields}{trace}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line; `traceback` holds an error's, with its line ends."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _text(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
