"""Limits and folders of the studio, and its help text. Imports nothing slow."""

from __future__ import annotations

import os
from dataclasses import dataclass

from evc_jax.serving.settings import check_limits, limit

EPILOG = """\
examples:
  evc studio                                  opens http://127.0.0.1:7860 on the embedded bundle
  evc studio --bundle my_bundle --port 8001
  evc studio --data datasets --runs runs      the Train tab: datasets of `evc prepare`, and work directories

Recordings and results are in a temporary folder. It is removed at the end, and what was not used for an hour before.
The page loads nothing from other machines. There is no authentication: listen beyond this machine (--host) only behind
a proxy that has it; trainings cannot be started then.
Needs `pip install 'evc_jax[studio]'`."""


@dataclass(frozen=True)
class StudioSettings:
    """Limits, which carry their own description, and folders.

    Attributes:
      data_dir: datasets of `evc prepare`.
      runs_dir: work directories of trainings.
      configs_dir: training configs; empty for those of the package.
      evaluation_dir: an output folder of `evc evaluate`; empty for the figures that the bundle carries.
      allow_training: whether the page may start trainings.
    """

    max_upload_mb: float = limit(64.0, 0.001, 4096, "megabytes of one file")
    max_seconds: float = limit(600.0, 0.1, 36000, "duration of one recording")
    max_files: int = limit(100, 1, 10_000, "recordings of one batch")
    queue: int = limit(32, 1, 10_000, "conversions that may wait; one more is refused")
    workers: int = limit(os.cpu_count() or 1, 1, 64, "conversions at once")
    keep_minutes: float = limit(60.0, 1, 10_000, "how long recordings and results are kept after their last use")
    data_dir: str = "datasets"
    runs_dir: str = "runs"
    configs_dir: str = ""
    evaluation_dir: str = ""
    allow_training: bool = True

    def __post_init__(self):
        check_limits(self)

    @property
    def max_upload_bytes(self) -> int:
        """`max_upload_mb` in bytes."""
        return round(self.max_upload_mb * 2**20)
