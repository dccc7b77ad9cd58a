"""Which machine it is, how fast it computes, copies and starts programs, and what to expect of it."""

from __future__ import annotations

import shutil
import subprocess

from benchmarks.accelerator.expected import WORKS, expected_s
from benchmarks.accelerator.part import Part, main
from benchmarks.harness import machine
from benchmarks.speeds import copy_bytes_per_s, matrix_flops_per_s, start_s

QUERY = "name,driver_version,memory.total,clocks.sm,clocks.max.sm,power.limit"


def nvidia_smi() -> str:
    """The GPU's name, driver, memory, clocks and power limit."""
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def measure(part: Part) -> None:
    part.attempt("machine", machine)
    if shutil.which("nvidia-smi"):
        part.attempt("nvidia-smi", nvidia_smi)
    part.attempt("float32_flops_per_s", lambda: matrix_flops_per_s("float32", part.rehearsal))
    part.attempt("bfloat16_flops_per_s", lambda: matrix_flops_per_s("bfloat16", part.rehearsal))
    part.attempt("bytes_per_s", lambda: copy_bytes_per_s(part.rehearsal))
    part.attempt("start_s", start_s)
    for name in WORKS:
        part.attempt(f"expected/{name}", lambda name=name: expected_s(name, part.results, part.rehearsal))


if __name__ == "__main__":
    main(measure)
