"""Training of all networks of a bundle by the clock, in parallel on one device.

The first part of the time goes to SpeechSplit, the F0 converter, VoiceGAN and WaveGlow, which do not depend on one
another; the second to CodeGAN, on the codes of that SpeechSplit, while WaveGlow goes on.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.accelerator.part import Part, main
from benchmarks.step_costs import step_cost
from benchmarks.systems import load_config
from evc_jax.data.dataset import BUILDER_NAME, dataset_info
from evc_jax.errors import DataError
from evc_jax.pretrained.workdir import CHECKPOINTS, logged_metrics, read_item, saved_steps
from evc_jax.training.config import SYSTEMS

ROOT = Path(__file__).resolve().parents[2]
# Of the time: what is over when CodeGAN begins.
FIRST_SHARE = 0.55
START_S = 15.0  # of a process, outside of its own clock
GRACE_S = 10.0
# WaveGlow's variants from the largest, and the fewest steps that are worth training one.
WAVEGLOW_VARIANTS, WAVEGLOW_STEPS = ("full", "small"), 20_000
PEAK_SHARE = 0.3  # of the matrix product's speed that a training step may reach
STEPS_PER_CALL = {"voicegan": 10, "codegan": 10}
TRACED_SYSTEM, TRACED_STEPS = "speechsplit", "101:120"
# A rehearsal's trainings are short, however much time it has: a slow machine needs it to compile. By the clock are all
# but the traced one, whose trace needs its steps.
REHEARSAL_S, REHEARSAL_STEPS = 30.0, 6


def measure(part: Part) -> None:
    seconds = part.left_s() - GRACE_S
    first_s = FIRST_SHARE * seconds
    variants = dict.fromkeys(SYSTEMS, "tiny" if part.rehearsal else "small")
    if not part.rehearsal:
        variants["waveglow"] = waveglow_variant(part, seconds)
    part.add("variants", variants)
    first = ("speechsplit", "f0_converter", "voicegan", "timbre_converter", "prosody")
    running = {name: start(part, name, variants[name], first_s) for name in first}
    running["waveglow"] = start(part, "waveglow", variants["waveglow"], seconds)
    end(part, {name: process for name, process in running.items() if name != "waveglow"}, first_s + GRACE_S)
    left_s = part.left_s() - GRACE_S
    running = {"codegan": start(part, "codegan", variants["codegan"], left_s), "waveglow": running["waveglow"]}
    end(part, running, left_s + GRACE_S)


def chosen_datasets(folder: Path, system: str) -> tuple[str, ...]:
    """The prepared datasets that fit a system: those that its config names as far as they are there, else all.

    Raises:
      DataError: there is none.
    """
    there = sorted(path.name for path in (folder / BUILDER_NAME).glob("*") if path.is_dir())
    usable = [name for name in there if {"train", "validation"} <= dataset_info(folder, name)["counts"].keys()]
    if system in ("codegan", "prosody"):
        usable = [name for name in usable if len(dataset_info(folder, name)["emotions"]) > 1]
    if not usable:
        raise DataError(f"{folder} holds no dataset with what {system} trains on; make one with `evc prepare`.")
    named = [name for name in load_config(system).data.datasets if name in usable]
    return tuple(named or usable)


def waveglow_variant(part: Part, seconds: float) -> str:
    """The largest one of which enough steps fit into the time."""
    speed = PEAK_SHARE * part.of("machine").get("bfloat16_flops_per_s", 0.0)
    for variant in WAVEGLOW_VARIANTS[:-1]:
        if seconds * speed / step_cost(load_config("waveglow", variant)).flops >= WAVEGLOW_STEPS:
            return variant
    return WAVEGLOW_VARIANTS[-1]


def command(part: Part, system: str, variant: str, seconds: float) -> list[str]:
    """The command line of a training that ends within the time."""
    if part.rehearsal:
        seconds = min(seconds, REHEARSAL_S)
    # A training of an earlier run goes on, and its clock with it.
    seconds = max(1.0, seconds - START_S) + elapsed_s(part.work / system)
    settings = {
        "minutes": round(seconds / 60, 3),
        "steps_per_call": 1 if part.rehearsal else STEPS_PER_CALL.get(system, 1),
        "data.data_dir": part.datasets,
        "data.datasets": ",".join(chosen_datasets(part.datasets, system)),
        "validate_every": 2_000,
        "checkpoint_every": 5_000,
        "log_every": 100,
        "show_every": 0,
    }
    if part.rehearsal:
        settings["validation_samples"] = 8
    elif system == "waveglow":
        settings["compute_dtype"] = "bfloat16"
    if system == "codegan":
        settings["options.speechsplit"] = part.work / "speechsplit"
    if system == TRACED_SYSTEM:
        settings["profile_steps"] = TRACED_STEPS
        if part.rehearsal:
            settings |= {"minutes": 0, "steps": REHEARSAL_STEPS, "profile_steps": "3:4"}
    made = [sys.executable, str(ROOT / "scripts" / "train.py"), f"--config={ROOT}/configs/{system}.py:{variant}"]
    return [*made, f"--workdir={part.work / system}", *(f"--config.{key}={value}" for key, value in settings.items())]


def elapsed_s(workdir: Path) -> float:
    """What the clock of a training stood at in its last checkpoint; 0 where there is none."""
    steps = saved_steps(workdir)
    if not steps:
        return 0.0
    return read_item(workdir / CHECKPOINTS / str(steps[-1]), "progress").get("elapsed_s", 0.0)


def start(part: Part, system: str, variant: str, seconds: float) -> subprocess.Popen:
    """Starts a training that ends within the time."""
    environment = {**os.environ, "EVC_LSTM": part.of("speed").get("EVC_LSTM", "scan")}
    if part.rehearsal:
        environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
    log = (part.work / f"{system}.log").open("a")
    made = command(part, system, variant, seconds)
    print(" ".join(made), flush=True)
    return subprocess.Popen(made, stdout=log, stderr=subprocess.STDOUT, env=environment)


def end(part: Part, running: dict[str, subprocess.Popen], seconds: float) -> None:
    """Waits for trainings and stores what became of each; one that is late is asked to save and stop."""
    end_s = time.monotonic() + seconds
    for name, process in running.items():
        try:
            process.wait(max(0.1, end_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(GRACE_S / 2)
            except subprocess.TimeoutExpired:
                process.kill()
        part.attempt(name, functools.partial(outcome, part.work / name, process.wait()))


def outcome(workdir: Path, code: int) -> dict[str, Any]:
    """Exit code, steps, speed and metrics of a training."""
    last: dict[str, Any] = {}
    for record in logged_metrics(workdir):
        last[record["split"]] = record
    speed = last.get("train", {}).get("steps_per_s")
    return {"exit code": code, "steps": saved_steps(workdir)[-1:], "steps_per_s": speed, **last}


if __name__ == "__main__":
    main(measure)
