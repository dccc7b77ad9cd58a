"""A WaveGlow training step, beside NVIDIA's network in a plain PyTorch training step.

    python -m benchmarks.waveglow_training --reference waveglow

Forward, loss, backward and Adam on a batch of noise: how fast it is does not depend on the numbers.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from typing import Any

import numpy as np

from benchmarks import originals
from benchmarks.harness import Contender, Work, compare, parser, result, run
from benchmarks.systems import load_config, training_step
from evc_jax.errors import ConfigError
from evc_jax.models.waveglow import WaveGlowConfig
from evc_jax.training.config import TrainConfig


def theirs(reference, config: TrainConfig, batch: dict[str, np.ndarray]) -> Contender:
    def prepare():
        import torch

        module = originals.waveglow_module(reference)
        network = originals.waveglow(reference, config.network_config(WaveGlowConfig))
        loss_of = module.WaveGlowLoss(1.0)
        optimizer = torch.optim.Adam(network.parameters(), lr=config.optimizer.learning_rate)
        audio, mel = torch.from_numpy(batch["audio"]), torch.from_numpy(batch["mel"].swapaxes(1, 2).copy())

        def call():
            network.zero_grad()
            loss = loss_of(network((mel, audio)))
            loss.backward()
            optimizer.step()
            return loss.item()

        return call

    return Contender("NVIDIA/waveglow", prepare, original=True)


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    config = load_config("waveglow", arguments)
    options = {**config.options, "segment_samples": 2048 if arguments.quick else arguments.segment}
    if config.batch_size % arguments.accumulate:
        raise ConfigError(f"--accumulate is {arguments.accumulate}; it must divide the batch, {config.batch_size}.")
    # The original keeps no moving average.
    config = dataclasses.replace(config, options=options, ema_decay=0.0, accumulate=arguments.accumulate)
    config = dataclasses.replace(config, batch_size=config.batch_size // arguments.accumulate)
    ours, batch = training_step("evc_jax", config)
    contenders = [ours]
    if arguments.reference:
        contenders.append(theirs(arguments.reference, config, batch))
    segments = len(batch["audio"])
    sizes = f"{segments} x {options['segment_samples']:,} samples"
    details = {"dtype": config.compute_dtype, "accumulate": config.accumulate}
    work = Work(f"WaveGlow training step, {sizes}", segments, "segments", details)
    return [result(work, compare(contenders, arguments.seconds))]


def options() -> argparse.ArgumentParser:
    made = parser(__doc__)
    made.add_argument("--batch", type=int, default=12, help="segments; default: 12")
    made.add_argument("--segment", type=int, default=12_000, help="samples of each; default: 12000")
    made.add_argument("--accumulate", type=int, default=1, help="micro-batches of evc_jax's batch; default: 1")
    made.add_argument("--dtype", default="float32", help="compute_dtype of evc_jax; default: float32")
    return made


if __name__ == "__main__":
    sys.exit(run(measure, options()))
