"""What the folder of one training tells: its system, its progress, its state, its messages and metrics."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evc_jax.pretrained.workdir import CHECKPOINTS, LOG_FILE, logged_metrics, read_item, saved_steps
from evc_jax.training.clock import SECONDS_PER_MINUTE
from evc_jax.training.run_process import running_process

LOG = "train.log"
_LOG_BYTES = 64_000
_FAILURE, _INTERRUPTION = "evc train: ", "evc train: interrupted"


def is_work_directory(folder: Path) -> bool:
    """Whether a folder is that of a training, or of a converted checkpoint."""
    holds_training = (folder / "config.json").is_file() or (folder / CHECKPOINTS).is_dir()
    return holds_training and not folder.name.startswith(".")


@dataclass(frozen=True)
class WorkDirectory:
    """A training, as its files describe it at each reading."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """Its configuration as a plain mapping; empty where that cannot be read."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.path / "config.json").read_bytes())
        with contextlib.suppress(OSError, ValueError, LookupError):
            return read_item(self.path / CHECKPOINTS / str(saved_steps(self.path)[-1]), "description")["config"]
        return {}

    @property
    def system(self) -> str:
        return str(self.config.get("system", "unknown"))

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(self.config.get("data", {}).get("datasets", ()))

    @property
    def started_s(self) -> float:
        """When it was last started, in seconds of Unix time; each start writes the config."""
        file = self.path / "config.json"
        return (file if file.exists() else self.path).stat().st_mtime

    @property
    def process(self) -> int | None:
        """The process that trains here now."""
        return running_process(self.path)

    @property
    def step(self) -> int:
        """The newest step that is logged or saved."""
        return max([record["step"] for record in self.metrics()[-2:]] + saved_steps(self.path)[-1:], default=0)

    @property
    def total(self) -> str:
        """Where the training ends."""
        minutes = self.config.get("minutes")
        return f"{minutes:g} minutes" if minutes else f"{self.config.get('steps', '?')} steps"

    @property
    def state(self) -> str:
        """running, finished, failed or stopped."""
        if self.process is not None:
            return "running"
        if self._is_finished():
            return "finished"
        lines = self.log(1)
        return "failed" if lines.startswith(_FAILURE) and not lines.startswith(_INTERRUPTION) else "stopped"

    def _is_finished(self) -> bool:
        steps = saved_steps(self.path)
        if not steps or "converted_from" in self.config:
            return bool(steps)
        if not (minutes := self.config.get("minutes")):
            return steps[-1] >= self.config.get("steps", 0)
        with contextlib.suppress(OSError, ValueError):
            progress = read_item(self.path / CHECKPOINTS / str(steps[-1]), "progress")
            return progress.get("elapsed_s", 0.0) >= minutes * SECONDS_PER_MINUTE
        return False

    def metrics(self) -> list[dict[str, Any]]:
        """What it logged: `split`, `step` and the metrics of each line."""
        try:
            status = (self.path / LOG_FILE).stat()
        except OSError:
            return []
        return _metrics(self.path, status.st_mtime_ns, status.st_size)

    def log(self, lines: int) -> str:
        """The last lines that its process printed, where the studio started it."""
        try:
            with (self.path / LOG).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


@functools.lru_cache(maxsize=64)
def _metrics(path: Path, modified_ns: int, size: int) -> list[dict[str, Any]]:
    """The log of a work directory, read once for each state of the file."""
    del modified_ns, size
    return logged_metrics(path)
