"""A WaveGlow training step, beside NVIDIA's network in a plain PyTorch training step.

    python -m benchmarks.waveglow_training --reference waveglow

Forward, loss, backward and Adam on a batch of noise: how fast it is does not depend on the numbers. On a GPU
both may multiply float32 in TF32, and `torch.compile` is a third contender.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import originals
from benchmarks.harness import Contender, Work, compare, parser, result, run
from benchmarks.step_costs import step_cost
from benchmarks.systems import chosen_config, training_step
from evc_jax.errors import ConfigError
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.training.config import TrainConfig

CPU_SEGMENTS = 2


def theirs(reference: Path, config: TrainConfig, batch: dict[str, np.ndarray]) -> list[Contender]:
    def prepare(compiled: bool):
        import torch

        module, device = originals.waveglow_module(reference), originals.device()
        network = originals.waveglow(reference, config.network_config(WaveGlowConfig)).to(device)
        forward = torch.compile(network) if compiled else network
        loss_of = module.WaveGlowLoss(1.0)
        optimizer = torch.optim.Adam(network.parameters(), lr=config.optimizer.learning_rate)
        arrays = (batch["mel"].swapaxes(1, 2).copy(), batch["audio"])
        inputs = tuple(torch.from_numpy(array).to(device) for array in arrays)
        half = originals.autocast(device, config.compute_dtype)

        def call():
            network.zero_grad()
            with half:
                loss = loss_of(forward(inputs))
            loss.backward()
            optimizer.step()
            return loss.item()

        return call

    return originals.contenders("NVIDIA/waveglow", prepare)


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    config = chosen_config("waveglow", arguments)
    segments, accumulate = config.batch_size, arguments.accumulate or _micro_batches(config.batch_size)
    if segments % accumulate:
        raise ConfigError(f"--accumulate is {accumulate}; it must divide the batch, {segments}.")
    options = {
        **config.options,
        "segment_samples": 2048 if arguments.quick else arguments.segment,
        "remat": arguments.remat,
    }
    # The original keeps no moving average.
    config = dataclasses.replace(config, options=options, ema_decay=0.0, accumulate=accumulate)
    config = dataclasses.replace(config, batch_size=segments // accumulate)
    ours, batch = training_step("evc_jax", config)
    contenders = [ours]
    if arguments.reference:
        contenders += theirs(arguments.reference, config, batch)
    sizes = f"{segments} x {options['segment_samples']:,} samples"
    details: dict[str, Any] = {"dtype": config.compute_dtype, "accumulate": accumulate, "remat": arguments.remat}
    details["gflop"] = round(step_cost(config).flops / 1e9, 3)
    work = Work(f"WaveGlow training step, {sizes}", segments, "segments", details)
    return [result(work, compare(contenders, arguments.seconds, over=arguments.over))]


def _micro_batches(segments: int) -> int:
    """As a CPU likes them: so small that much of what a micro-batch computes stays in the caches."""
    small = CPU_SEGMENTS * jax.device_count()
    return segments // small if jax.default_backend() == "cpu" and segments % small == 0 else 1


def options() -> argparse.ArgumentParser:
    made = parser(__doc__, batch=12)
    made.add_argument("--segment", type=int, default=12_000, help="samples of each; default: 12000")
    made.add_argument("--accumulate", type=int, help="micro-batches of evc_jax's batch; default: of 2 on a CPU, else 1")
    made.add_argument("--remat", action="store_true", help="compute couplings again instead of keeping them")
    return made


if __name__ == "__main__":
    sys.exit(run(measure, options()))
