"""How time and memory grow with batch, length and devices, beside what arithmetic and memory traffic allow.

    python -m benchmarks.growth --json docs/measured_growth.json
    python -m benchmarks.growth --json docs/measured_growth.json --only 'training/*/batch'

Curves are named WHAT/SIZE/AGAINST; `--only` measures those that fit a pattern and leaves the others of the file as they
are. Each is measured in processes of its own, a recording's length in one for each point, as peak memory is a
process's. Devices are those there are; a CPU is divided into two for it, so that there it shows what dividing costs.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import growth_points
from benchmarks.harness import machine, write_json
from evc_jax.errors import EvcError

BATCHES = (1, 4, 16, 64)
TRAINING_BATCHES = (1, 8, 64)
LENGTHS_S = (1, 10, 60, 600)
SYSTEMS = ("speechsplit", "f0_converter", "voicegan", "codegan", "waveglow")
QUICK_SIZES = 1
CPU_DEVICES = "--xla_force_host_platform_device_count=2"


@dataclass(frozen=True)
class Curve:
    """What is measured at several sizes.

    Attributes:
      what: "synthesis", "conversion" or "training".
      name: of the network's size, the vocoder or the system.
      against: "batch", "length" (in seconds) or "devices".
      sizes: where to measure; of devices those there are.
    """

    what: str
    name: str
    against: str
    sizes: tuple[int, ...]

    @property
    def key(self) -> str:
        return f"{self.what}/{self.name}/{self.against}"


CURVES = (
    Curve("synthesis", "small", "batch", BATCHES),
    Curve("synthesis", "full", "batch", (1, 4)),
    Curve("synthesis", "small", "length", LENGTHS_S),
    Curve("synthesis", "full", "length", (1, 4)),
    Curve("conversion", "griffin-lim", "length", LENGTHS_S),
    Curve("conversion", "waveglow", "length", LENGTHS_S),
    *(Curve("training", system, "batch", TRAINING_BATCHES) for system in SYSTEMS),
    *(Curve("training", system, "devices", (1, 2, 4, 8)) for system in SYSTEMS),
)


def measure_curve(curve: Curve, arguments: argparse.Namespace) -> dict[str, Any]:
    """Every point in processes of their own; the limits are the highest speeds that any of them reached."""
    sizes = curve.sizes[:QUICK_SIZES] if arguments.quick else curve.sizes
    groups = [(size,) for size in sizes] if curve.against == "length" else [sizes]
    found = [_in_process(curve.key, group, arguments) for group in groups]
    return {
        "machine": found[0]["machine"],
        "flops_per_s": max(each["flops_per_s"] for each in found),
        "bytes_per_s": max(each["bytes_per_s"] for each in found),
        "points": [point for each in found for point in each["points"]],
    }


def measure_here(curve: Curve, sizes: list[int], seconds: float, quick: bool) -> dict[str, Any]:
    """What `measure_curve` asks of a process. Speeds come last, so that their arrays are not in the peak memory."""
    measure = {
        ("synthesis", "batch"): growth_points.synthesis_by_batch,
        ("synthesis", "length"): growth_points.synthesis_by_length,
        ("conversion", "length"): growth_points.conversion_by_length,
        ("training", "batch"): growth_points.training_by_batch,
        ("training", "devices"): growth_points.training_by_devices,
    }[curve.what, curve.against]
    points = [{"size": size, **measured} for size in sizes if (measured := measure(curve.name, size, seconds, quick))]
    return {"machine": machine(), **growth_points.speeds(quick), "points": points}


def main() -> int:
    arguments = options().parse_args()
    curves = [curve for curve in CURVES if fnmatch.fnmatch(curve.key, arguments.only)]
    try:
        if arguments.sizes:
            sizes = [int(size) for size in arguments.sizes.split(",")]
            print(json.dumps(measure_here(curves[0], sizes, arguments.seconds, arguments.quick)))
            return 0
        if not curves:
            keys = ", ".join(curve.key for curve in CURVES)
            raise EvcError(f"--only is {arguments.only!r}, which fits no curve; give a pattern of {keys}.")
        curves = curves[:QUICK_SIZES] if arguments.quick else curves
        results: dict[str, Any] = {"curves": {}}
        if arguments.json and arguments.json.exists():
            results = json.loads(arguments.json.read_text())
        for curve in curves:
            measured = measure_curve(curve, arguments)
            print(curve.key, json.dumps(measured), flush=True)
            results["curves"][curve.key] = measured
            if arguments.json:
                write_json(arguments.json, results)
    except (EvcError, OSError) as error:
        print(f"growth: {error}", file=sys.stderr)
        return 2
    return 0


def options() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--only", default="*", metavar="PATTERN", help="of the curves' names; default: all")
    made.add_argument("--seconds", type=float, default=1.0, help="to repeat a point, at least three times; default: 1")
    made.add_argument("--quick", action="store_true", help="one point of one curve: to see that it still works")
    made.add_argument("--json", type=Path, metavar="FILE", help="that results are added to")
    made.add_argument("--sizes", help=argparse.SUPPRESS)  # measure these in this process and print JSON
    return made


def _in_process(key: str, sizes: tuple[int, ...], arguments: argparse.Namespace) -> dict[str, Any]:
    """A new process's answer.

    Raises:
      EvcError: it failed; the message is what it said last.
    """
    command = [sys.executable, "-m", "benchmarks.growth", "--only", key, "--sizes", ",".join(map(str, sizes))]
    command += ["--seconds", str(arguments.seconds), *(["--quick"] if arguments.quick else [])]
    environment = dict(os.environ)
    if key.endswith("/devices"):
        environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {CPU_DEVICES}".strip()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        # JAX ends its tracebacks with lines about itself.
        lines = [line for line in done.stderr.strip().splitlines() if line and line[0] not in " -"]
        said = [line for line in lines if "JAX" not in line] or [f"it ended with {done.returncode}"]
        raise EvcError(f"{key} at {sizes} could not be measured ({said[-1]}); try it with smaller sizes.")
    return json.loads(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
