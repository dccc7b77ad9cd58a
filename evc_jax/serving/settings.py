"""Limits of a server, and its help text. Imports nothing slow."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass

from evc_jax.errors import ConfigError

_PACKAGES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")

EPILOG = """\
examples:
  evc serve --port 8000
  curl -F recording=@hello.wav -F emotion=angry localhost:8000/convert -o angry.wav
  curl -F recording=@hello.mp3 -F voice=sampled:female -F rate=1.2 -F format=flac localhost:8000/convert -o out.flac
  curl -F recording=@hello.wav -F voice_file=@reference.wav localhost:8000/convert -o cloned.wav
  curl -F source=@plain.wav -F target=@acted.wav -F aspects=RF localhost:8000/transfer -o out.wav
  curl localhost:8000/info                   emotions, options with their bounds, limits

Interactive documentation is at /docs, readiness at /health, Prometheus's metrics at /metrics. Uploads stay in memory
and are discarded with the answer. There is no authentication: to listen beyond this machine, put a proxy that has it
in front.
Needs `pip install 'evc_jax[serve]'`."""


@dataclass(frozen=True)
class Limit:
    """A setting's lowest and highest value, and its help."""

    low: float
    high: float
    text: str


LIMITS = {
    "max_upload_mb": Limit(0.001, 4096.0, "megabytes of one request, all its recordings together"),
    "max_seconds": Limit(0.1, 36000.0, "duration of one recording"),
    "queue": Limit(1, 10_000, "requests under way and waiting at once; one more is answered with 429"),
    "timeout_s": Limit(0.1, 86400.0, "seconds from a request's arrival to its answer, else 504"),
    "batch_wait_ms": Limit(0.0, 1000.0, "how long a request waits for others, to share a call of the networks"),
    "max_batch": Limit(1, 16, "requests that share one such call"),
    "workers": Limit(1, 1024, "threads that compute, one request each; so many can share a call"),
}


@dataclass(frozen=True)
class ServerSettings:
    """Limits that keep a server's memory and the delay of its answers bounded: see `LIMITS`."""

    max_upload_mb: float = 32.0
    max_seconds: float = 120.0
    queue: int = 32
    timeout_s: float = 120.0
    batch_wait_ms: float = 5.0
    max_batch: int = 16
    workers: int = os.cpu_count() or 1

    def __post_init__(self):
        for name, limit in LIMITS.items():
            value = getattr(self, name)
            if not limit.low <= value <= limit.high:
                raise ConfigError(f"{name} is {value:g}; give a number from {limit.low:g} to {limit.high:g}.")

    @property
    def max_upload_bytes(self) -> int:
        """`max_upload_mb` in bytes."""
        return round(self.max_upload_mb * 2**20)


def require_extra() -> None:
    """Raises ConfigError unless the packages of the extra `serve` are installed."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f"A server needs {', '.join(missing)}; run `pip install 'evc_jax[serve]'`.")
