"""Training steps of CodeGAN and VoiceGAN, beside plain PyTorch.

    python -m benchmarks.gan_training
    python -m benchmarks.gan_training --systems voicegan --batch 256

A step is five updates of the critic, each with a gradient penalty, and one of the generator, in the sizes of the
`full` configs; on an accelerator also with several steps started at once (`config.steps_per_call`). The original is
`benchmarks.torch_gans`: the same losses from the same weights; on a GPU also with its generator compiled by PyTorch,
which compiles nothing that is differentiated twice, as the critic is.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from typing import Any

import jax
import numpy as np

from benchmarks import originals
from benchmarks.fake_data import system_without_data
from benchmarks.harness import Contender, Work, compare, parser, result, run
from benchmarks.step_costs import step_cost
from benchmarks.systems import chosen_config, training_step
from evc_jax.errors import ConfigError
from evc_jax.training.config import TrainConfig

SYSTEMS = ("codegan", "voicegan")
STEPS_PER_CALL = 8


def theirs(config: TrainConfig, batch: dict[str, np.ndarray], steps: int) -> list[Contender]:
    def prepare(compiled: bool):
        from benchmarks import torch_gans

        system, device = system_without_data(config), originals.device()
        training, updates = torch_gans.build(system, device), torch_gans.updates(batch, device)
        if compiled:
            training.generator.compile()
        half = originals.autocast(device, config.compute_dtype)

        def call():
            for _ in range(steps):
                with half:
                    losses = training.step(torch_gans.draw(updates, system.model))
                found = {name: loss.item() for name, loss in losses.items()}
            return found

        return call

    return originals.contenders("PyTorch", prepare, what="generator compiled")


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    results = []
    for name in arguments.systems.split(","):
        if name not in SYSTEMS:
            raise ConfigError(f"--systems has {name!r}; expected {' or '.join(SYSTEMS)}, or both joined by a comma.")
        config = chosen_config(name, arguments)
        steps = arguments.steps_per_call or (1 if jax.default_backend() == "cpu" else STEPS_PER_CALL)
        ours, batch = training_step("evc_jax", config, steps)
        contenders = [ours]
        if steps > 1:
            contenders.append(training_step(f"evc_jax, {steps} steps a call", config, steps, together=True)[0])
        if importlib.util.find_spec("torch"):
            contenders += theirs(config, batch, steps)
        details = {
            "batch": config.batch_size,
            "dtype": config.compute_dtype,
            "gflop": round(steps * step_cost(config).flops / 1e9, 3),
        }
        subject = f"{name} training step, {config.batch_size} samples to each update"
        timings = compare(contenders, arguments.seconds, over=arguments.over)
        results.append(result(Work(subject, steps, "steps", details), timings))
    return results


def options() -> argparse.ArgumentParser:
    made = parser(__doc__, batch=16)
    made.add_argument("--systems", default=",".join(SYSTEMS), help="joined by commas; default: both")
    made.add_argument("--steps-per-call", type=int, help="default: 8 on an accelerator, 1 on a CPU")
    return made


if __name__ == "__main__":
    sys.exit(run(measure, options()))
