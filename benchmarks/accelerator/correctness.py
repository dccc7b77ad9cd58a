"""Whether the networks compute on this device what they compute elsewhere, and whether a kill loses a step.

- Golden vectors, where there are some: in float32 with exact products to the tolerances of `torch_import.parity`, and
  the outputs in bfloat16 to `BFLOAT16_TOLERANCE`.
- A training step of each system on this device beside the same step on this machine's processor.
- cuDNN's LSTM beside the scan.
- A training that is killed beside one that is not.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import lstm
from benchmarks.accelerator.part import Part, main
from benchmarks.accelerator.training import ROOT, chosen_datasets
from benchmarks.fake_data import synthetic_batch, system_without_data
from benchmarks.systems import load_config
from evc_jax.models.lstm_cudnn import on_cuda
from evc_jax.torch_import.golden_checks import CHECKS, check_file, check_in_bfloat16
from evc_jax.training import parallel
from evc_jax.training.config import SYSTEMS

BFLOAT16_TOLERANCE = 3e-2
# Codes that went through CodeGAN's instance normalizations, once and twice: a processor differs by 0.036 and 0.26.
BFLOAT16_EXCEPTIONS = {"fake": 5e-2, "reconstructed": 0.35}
STEP_TOLERANCE = 1e-3  # of metrics, among them a gradient's norm
BATCH = 8
REHEARSED = ("voicegan",)  # where a processor stands beside itself, one says as much as all


def measure(part: Part) -> None:
    pieces: dict[str, Callable[[], Any]] = {}
    if part.golden:
        pieces.update({f"{name}, float32": functools.partial(golden, part.golden / name) for name in CHECKS})
    if on_cuda():
        pieces["cuDNN's LSTM"] = lstm_difference
    pieces["resume after a kill"] = lambda: resume_after_a_kill(part)
    if part.golden:
        pieces.update(
            {f"{name}, bfloat16": functools.partial(golden_in_bfloat16, part.golden / name) for name in CHECKS}
        )
    for dtype in ("float32", "bfloat16"):
        for name in REHEARSED if part.rehearsal else SYSTEMS:
            step = functools.partial(step_beside_cpu, name, dtype, part.rehearsal)
            pieces[f"step of {name} beside the processor's, {dtype}"] = step
    for name, piece in pieces.items():
        part.attempt(name, piece)


def golden(path: Path) -> dict[str, Any]:
    """The largest errors of one file in float32."""
    report = check_file(path)
    if report is None:
        raise ValueError(f"{path} holds no network to compare")
    return {"passed": report.passed, "largest": report.summary() + (" (in float64)" if report.in_float32 else "")}


def golden_in_bfloat16(path: Path) -> dict[str, Any]:
    """The largest errors of one file in bfloat16; its outputs count, as losses and gradients cancel."""
    report = check_in_bfloat16(path)
    if report is None:
        raise ValueError(f"{path} holds no network to compare")
    outputs = report.errors["outputs"].items()
    passed = all(error <= BFLOAT16_EXCEPTIONS.get(name, BFLOAT16_TOLERANCE) for name, error in outputs)
    return {"passed": passed, "largest": report.summary()}


def step_beside_cpu(name: str, dtype: str, quick: bool) -> dict[str, Any]:
    """The largest relative difference of a step's metrics from those of the processor."""
    config = load_config(name, "tiny" if quick else "small", batch_size=BATCH, compute_dtype=dtype)
    system = system_without_data(config)
    state, batch = system.init(jax.random.key(0)), synthetic_batch(system, BATCH)
    with jax.default_matmul_precision("highest" if dtype == "float32" else "default"):
        here, there = (metrics_on(device, system, state, batch) for device in (jax.devices()[0], jax.devices("cpu")[0]))
    worst = max(abs(here[key] - there[key]) / max(abs(there[key]), 1e-2) for key in there)
    return {"passed": worst <= (STEP_TOLERANCE if dtype == "float32" else BFLOAT16_TOLERANCE), "difference": worst}


def metrics_on(device: jax.Device, system: Any, state: Any, batch: dict[str, np.ndarray]) -> dict[str, float]:
    """The metrics of a step on one device."""
    mesh = parallel.device_mesh([device])
    step = parallel.map_step(system.step, mesh)
    on_device, key = parallel.replicate((jax.device_get(state), jax.random.key(1)), mesh)
    return {name: float(value) for name, value in step(on_device, parallel.shard_batch(batch, mesh), key)[1].items()}


def lstm_difference() -> dict[str, Any]:
    """cuDNN's states and gradients beside the scan's, with exact products."""
    with jax.default_matmul_precision("highest"):
        (found,) = lstm.measure(lstm.options().parse_args(["--seconds", "0"]))
    difference = found["difference"]["cudnn"]
    return {"passed": difference <= STEP_TOLERANCE, "difference": difference}


def resume_after_a_kill(part: Part) -> dict[str, Any]:
    """`scripts/chaos_train.py` with one kill."""
    datasets = ",".join(chosen_datasets(part.datasets, "voicegan"))
    train = [f"--config={ROOT}/configs/voicegan.py:tiny", "--config.steps=60", "--config.checkpoint_every=10"]
    train += [f"--config.data.data_dir={part.datasets}", f"--config.data.datasets={datasets}"]
    command = [sys.executable, str(ROOT / "scripts" / "chaos_train.py"), "--kills=1", f"--out={part.work / 'chaos'}"]
    done = subprocess.run([*command, "--", *train], capture_output=True, text=True)
    print(done.stdout, done.stderr, flush=True)
    verdict = next((line for line in done.stdout.splitlines() if line.startswith("# ")), done.stderr.strip())
    return {"passed": done.returncode == 0, "report": verdict.removeprefix("# ")}


if __name__ == "__main__":
    main(measure)
