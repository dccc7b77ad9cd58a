"""Runs all benchmarks one after the other, each in a process of its own, and prints their tables.

    python -m benchmarks --reference originals --json results
    python -m benchmarks --quick

`originals` is a folder with checkouts of https://github.com/NVIDIA/waveglow and
https://github.com/auspicious3000/SpeechSplit. Each benchmark has more options of its own, which
`python -m benchmarks.lstm --help` explains.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BENCHMARKS = (
    "waveglow_synthesis",
    "waveglow_training",
    "speechsplit_training",
    "gan_training",
    "lstm",
    "conversion",
    "features",
    "reading",
    "cold_start",
    "growth",
    "serving",
)
# They compare nothing, so that they have no --reference.
WITHOUT_ORIGINAL = ("growth", "serving")


def command(name: str, arguments: argparse.Namespace) -> list[str]:
    """What runs one benchmark with these options."""
    made = [sys.executable, "-m", f"benchmarks.{name}"]
    made += ["--quick"] if arguments.quick else []
    made += ["--seconds", str(arguments.seconds)] if arguments.seconds is not None else []
    made += ["--json", str(arguments.json / f"{name}.json")] if arguments.json else []
    if arguments.reference and name not in WITHOUT_ORIGINAL:
        made += ["--reference", str(arguments.reference)]
    return made


def run(name: str, arguments: argparse.Namespace) -> int:
    """One benchmark's exit code, after printing what it prints for people."""
    print(f"{name}: {_summary(name)}", flush=True)
    with subprocess.Popen(command(name, arguments), cwd=FOLDER.parent, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if not line.startswith("{"):
                print(line, end="", flush=True)
    return process.returncode


def main() -> int:
    """0, or 2 if any of them failed; its sentence is then among the tables."""
    arguments = options().parse_args()
    arguments.reference = arguments.reference and arguments.reference.resolve()
    if arguments.json:
        arguments.json = arguments.json.resolve()
        try:
            arguments.json.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            print(f"benchmarks: --json {arguments.json} is no folder and none can be made ({error}).", file=sys.stderr)
            return 2
    codes = {name: run(name, arguments) for name in BENCHMARKS}
    if failed := [name for name, code in codes.items() if code]:
        print(f"benchmarks: {', '.join(failed)} did not end well; what they said is above.", file=sys.stderr)
    return 2 if failed else 0


def options() -> argparse.ArgumentParser:
    contents = "\n".join(f"  {name:22}{_summary(name)}" for name in BENCHMARKS)
    made = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"{__doc__}\n{contents}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--reference", type=Path, metavar="DIR", help="folder of checkouts of the PyTorch originals")
    made.add_argument("--seconds", type=float, help="that each goes on measuring; default: its own")
    made.add_argument("--quick", action="store_true", help="small sizes for a second: to see that they still work")
    made.add_argument("--json", type=Path, metavar="DIR", help="also write the JSON of each into this folder")
    return made


def _summary(name: str) -> str:
    return ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text())).splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
