"""Everything that a few minutes on an accelerator are for: measures the machine, checks the networks there, compares
their speed with PyTorch's, and trains a bundle by the clock.

    python scripts/accelerator_run.py --minutes 9 --datasets datasets --out out --references originals
    python scripts/accelerator_run.py --minutes 5 --rehearsal --datasets datasets --out out      # tiny, on any machine

Nothing is fetched from the network. The parts run one after the other, each in a process of its own with its share of
the time; what a part finds is in OUT/results.json and OUT/report.md as soon as it is known, and a part that fails or
runs out of time does not end the others. Training has what the others leave. OUT also gets the log, the bundle in
pieces of 15 MB (`evc bundle join`), pictures of conversions, and a trace of 20 training steps.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.accelerator.part import PARTS
from benchmarks.accelerator.report import report
from benchmarks.harness import write_json

ROOT = Path(__file__).resolve().parents[1]
# Of the minutes; training has the rest, and what the others do not use.
SHARES = {"machine": 0.08, "correctness": 0.16, "speed": 0.3, "bundle": 0.12}
REHEARSAL_SHARES = {"machine": 0.08, "correctness": 0.25, "bundle": 0.13}
KILL_AFTER_S = 5.0
TERMINATED = 128 + signal.SIGTERM


def main() -> int:
    arguments = _parse()
    parts = arguments.parts.split(",")
    if unknown := [name for name in parts if name not in PARTS]:
        return _refuse(f"--parts has {', '.join(unknown)}; expected some of {', '.join(PARTS)}.")
    if arguments.minutes <= 0:
        return _refuse(f"--minutes is {arguments.minutes:g}; expected more than 0.")
    if not (arguments.datasets / "speech").is_dir():
        return _refuse(f"--datasets {arguments.datasets} holds no prepared dataset; make one with `evc prepare`.")
    for name in ("references", "golden"):
        if getattr(arguments, name) and not getattr(arguments, name).is_dir():
            return _refuse(f"--{name} {getattr(arguments, name)} is no folder.")
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return _refuse(f"--out {arguments.out} cannot be made ({error.strerror}); give another folder.")
    if arguments.rehearsal and "speed" in parts:
        parts.remove("speed")  # of tiny networks, it says nothing
    with tempfile.TemporaryDirectory() as temporary:
        run = Run(arguments, parts, (arguments.work or Path(temporary)).resolve())
        for name in (name for name in PARTS if name in parts):
            run.part(name)
    print((arguments.out / "report.md").read_text())
    return 1 if any("ended" in found for found in run.results.values()) else 0


class Run:
    """The parts of one run and what they found."""

    package = "benchmarks.accelerator"

    def __init__(self, arguments: argparse.Namespace, parts: list[str], work: Path):
        self._arguments, self._work = arguments, work
        self._end_s = time.monotonic() + 60 * arguments.minutes
        shares = REHEARSAL_SHARES if arguments.rehearsal else SHARES
        self._shares = {name: share for name, share in shares.items() if name in parts}
        (work / "parts").mkdir(parents=True, exist_ok=True)
        self._log = (arguments.out / "log.txt").open("ab")
        self.results: dict[str, Any] = {}

    def part(self, name: str) -> None:
        """Runs a part within its share of the time."""
        later = PARTS[PARTS.index(name) + 1 :]
        left_s = self._end_s - time.monotonic()
        kept_s = 60 * self._arguments.minutes * sum(self._shares.get(each, 0) for each in later)
        seconds = left_s - kept_s
        if name in self._shares:
            seconds = min(seconds, 60 * self._arguments.minutes * self._shares[name])
        print(f"{name}: {max(0.0, seconds):.0f} of {left_s:.0f} s", flush=True)
        file = self._work / "parts" / f"{name}.json"
        file.unlink(missing_ok=True)  # of an earlier run
        ended = "was stopped"
        try:
            ended = self._process(name, file, seconds) if seconds > 0 else "had no time"
        finally:  # whoever ends the run early still has what it found
            found = json.loads(file.read_text()) if file.exists() else {}
            self.results[name] = {**found, **({"ended": ended} if ended else {})}
            write_json(self._arguments.out / "results.json", self.results)
            (self._arguments.out / "report.md").write_text(report(self.results))

    def _process(self, name: str, file: Path, seconds: float) -> str:
        """How a part ended, where it did not end well."""
        arguments = {"datasets": self._arguments.datasets, "work": self._work, "out": self._arguments.out}
        arguments |= {"references": self._arguments.references, "golden": self._arguments.golden}
        command = [sys.executable, "-m", f"{self.package}.{name}", f"--results={file}", f"--seconds={seconds}"]
        command += [f"--{key}={path.resolve()}" for key, path in arguments.items() if path]
        command += ["--rehearsal"] if self._arguments.rehearsal else []
        self._log.write(f"== {' '.join(command)}\n".encode())
        self._log.flush()
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        # What JAX takes of the device's memory in advance, PyTorch and other trainings beside it would lack.
        environment = {**os.environ, "PYTHONPATH": paths, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        # A group of its own, as parts start processes themselves.
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=self._log, stderr=self._log, start_new_session=True
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(KILL_AFTER_S)
            return "ran out of time"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        return f"ended with {code}, see log.txt" if code else ""


def _refuse(sentence: str) -> int:
    print(f"accelerator_run: {sentence}", file=sys.stderr)
    return 2


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, help="for everything")
    parser.add_argument("--datasets", type=Path, required=True, metavar="DIR", help="what `evc prepare` wrote into")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for what is found and made")
    parser.add_argument("--references", type=Path, metavar="DIR", help="folder of checkouts of the PyTorch originals")
    parser.add_argument("--golden", type=Path, metavar="DIR", help="folder of golden vectors")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep the work directories there, to go on with them")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}; default: all")
    parser.add_argument(
        "--rehearsal", action="store_true", help="tiny networks and no speed: to see that all of it runs"
    )
    return parser.parse_args()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    sys.exit(main())
