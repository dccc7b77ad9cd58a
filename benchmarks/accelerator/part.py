"""What the parts of a run share: their options, and a file of results that grows while they work."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import compile_quickly, write_json
from evc_jax.errors import one_line

PARTS = ("machine", "correctness", "speed", "training", "bundle")


class Part:
    """One part of a run, in a process of its own.

    Attributes:
      datasets: folder of prepared datasets.
      work: folder for work directories and whatever else the parts leave for one another.
      out: folder for what is to be kept.
      references: folder of checkouts of the PyTorch originals; may be None.
      golden: folder of golden vectors; may be None.
      rehearsal: whether everything is small.
      results: by name what was found out; `add` stores it at once.
    """

    def __init__(self, arguments: argparse.Namespace):
        self.datasets, self.work, self.out = arguments.datasets, arguments.work, arguments.out
        self.references, self.golden, self.rehearsal = arguments.references, arguments.golden, arguments.rehearsal
        self.results: dict[str, Any] = {}
        self._file, self._end_s = arguments.results, time.monotonic() + arguments.seconds

    def add(self, name: str, value: Any) -> None:
        """Stores a result; what is stored stays when the part is ended for its time."""
        self.results[name] = value
        write_json(self._file, self.results)

    def attempt(self, name: str, work: Callable[[], Any]) -> None:
        """Stores what `work` returns, or as what it failed: one piece of a part does not end the others."""
        start_s = time.monotonic()
        try:
            found = work()
        except Exception as error:  # of any of the libraries
            print(f"{name} failed: {type(error).__name__}: {error}", flush=True)
            found = {"failed": f"{type(error).__name__}: {one_line(error)}"}
        self.add(name, found)
        print(f"{name}: {time.monotonic() - start_s:.1f} s, {self.left_s():.0f} s left", flush=True)

    def left_s(self) -> float:
        """Time that is left for this part."""
        return self._end_s - time.monotonic()

    def over(self) -> bool:
        """Whether none is left."""
        return self.left_s() <= 0

    def of(self, other: str) -> dict[str, Any]:
        """The results of a part that ran before; empty if it left none."""
        file = self._file.with_name(f"{other}.json")
        return json.loads(file.read_text()) if file.exists() else {}


def options() -> argparse.ArgumentParser:
    """What the run gives to each of its parts."""
    made = argparse.ArgumentParser()
    for name in ("datasets", "work", "out", "results"):
        made.add_argument(f"--{name}", type=Path, required=True)
    for name in ("references", "golden"):
        made.add_argument(f"--{name}", type=Path)
    made.add_argument("--seconds", type=float, required=True)
    made.add_argument("--rehearsal", action="store_true")
    return made


def main(work: Callable[[Part], None]) -> None:
    """A part's main program."""
    part = Part(options().parse_args())
    from evc_jax.jax_cache import enable_cache

    enable_cache()
    if part.rehearsal:
        compile_quickly()
    work(part)
