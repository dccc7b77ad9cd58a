"""Limits of a server, and its help text. Imports nothing slow."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from typing import Any

from evc_jax.errors import ConfigError

TEXT_LOGS, JSON_LOGS = LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")
ANY_ORIGIN = "*"

EPILOG = """\
examples:
  evc serve --port 8000
  curl -F recording=@hello.wav -F emotion=angry localhost:8000/convert -o angry.wav
  curl -F recording=@hello.mp3 -F voice=sampled:female -F rate=1.2 -F format=flac localhost:8000/convert -o out.flac
  curl -F recording=@hello.wav -F voice_file=@reference.wav localhost:8000/convert -o cloned.wav
  curl -F recording=@hello.wav -F emotion_track=@labels.txt localhost:8000/convert -o changing.wav
  curl -F source=@plain.wav -F target=@acted.wav -F aspects=RF localhost:8000/transfer -o out.wav
  base64 hello.wav | jq -Rs '{recording: ., emotion: {happy: 0.6, surprised: 0.4}, strength: [[0, 0], [1.5, 1]]}' |
    curl --json @- localhost:8000/convert -o mixed.wav
  curl -N -F recording=@talk.wav -F emotion=sad -F stream=true localhost:8000/convert -o sad.wav
  curl localhost:8000/info                   emotions, options with their bounds, limits

A JSON body has the fields of a form, with recordings as base64 text; a settings file and a recording make one, too.
Interactive documentation is at /docs, readiness at /health, Prometheus's metrics at /metrics. Uploads stay in memory
and are discarded with the answer. There is no authentication: to listen beyond this machine, put a proxy that has it
in front.

Every option may come from the environment instead: EVC_SERVE_ and its name in capitals, with _ for -, as in
EVC_SERVE_PORT=8001, EVC_SERVE_QUEUE=16, EVC_SERVE_BUNDLE=my_bundle, EVC_SERVE_CORS_ORIGIN=https://a.org,https://b.org
(several joined by commas). The command line wins.
Needs `pip install 'evc_jax[serve]'`."""


def limit(default: float, low: float, high: float, text: str) -> Any:
    """A field of settings: its default, lowest and highest value, and its help."""
    return field(default=default, metadata={"low": low, "high": high, "help": text})


@dataclass(frozen=True)
class ServerSettings:
    """Limits that keep a server's memory and the delay of its answers bounded, which carry their own description.

    Attributes:
      log_format: one of `LOG_FORMATS`.
      log_level: one of `LOG_LEVELS`.
      cors_origins: origins whose pages may read answers; `ANY_ORIGIN` for all.
      root_path: under which a proxy shows the server, such as "/speech"; empty for none.
      voices_dir: folder of voices of `evc voices` that requests may name; empty for none.
    """

    max_upload_mb: float = limit(
        32.0, 0.001, 4096, "megabytes of one request, all its recordings together; a third more as JSON"
    )
    max_seconds: float = limit(120.0, 0.1, 36000, "duration of one recording")
    queue: int = limit(32, 1, 10_000, "requests under way and waiting at once; one more is answered with 429")
    timeout_s: float = limit(120.0, 0.1, 86400, "seconds from a request's arrival to its answer, else 504")
    batch_wait_ms: float = limit(5.0, 0, 1000, "how long a request waits for others, to share a call of the networks")
    max_batch: int = limit(16, 1, 16, "requests that share one such call")
    workers: int = limit(
        os.cpu_count() or 1, 1, 1024, "threads that compute, one request each; so many can share a call"
    )
    log_format: str = TEXT_LOGS
    log_level: str = "info"
    cors_origins: tuple[str, ...] = ()
    root_path: str = ""
    voices_dir: str = ""

    def __post_init__(self):
        check_limits(self)
        for origin in self.cors_origins:
            check_origin(origin)
        check_root_path(self.root_path)

    @property
    def max_upload_bytes(self) -> int:
        """`max_upload_mb` in bytes."""
        return round(self.max_upload_mb * 2**20)


def check_origin(origin: str) -> str:
    """The origin; raises ConfigError where it is none."""
    if origin != ANY_ORIGIN and not re.fullmatch(r"https?://[^/\s,*]+", origin):
        raise ConfigError(f"The origin is {origin[:80]!r}; give one as https://example.org, or * for all.")
    return origin


def check_root_path(path: str) -> str:
    """The path; raises ConfigError where it is none."""
    if path and not re.fullmatch(r"(/[\w.~-]+)+", path, re.ASCII):
        raise ConfigError(f"The root path is {path[:80]!r}; give one as /speech, with no / at its end.")
    return path


def limits(settings: Any) -> list[Any]:
    """The fields of settings, or of their class, that `limit` made."""
    return [entry for entry in fields(settings) if entry.metadata]


def check_limits(settings: Any) -> None:
    """Raises ConfigError where one of the `limits` is out of bounds."""
    for entry in limits(settings):
        value, low, high = getattr(settings, entry.name), entry.metadata["low"], entry.metadata["high"]
        if not low <= value <= high:
            raise ConfigError(f"{entry.name} is {value:g}; give a number from {low:g} to {high:g}.")
