"""A training step of SpeechSplit at the authors' sizes, beside their network in a PyTorch step as in their solver.

    python -m benchmarks.speechsplit_training --reference SpeechSplit

A step is random resampling, forward pass, loss, gradients and Adam. Neither side keeps a moving average of the
weights, as the original has none. On a GPU both may multiply float32 in TF32, and `torch.compile` is a third contender.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from benchmarks import originals
from benchmarks.fake_data import synthetic_batch, system_without_data
from benchmarks.harness import Contender, Work, compare, parser, result, run
from benchmarks.step_costs import step_cost
from benchmarks.systems import chosen_config, training_step
from evc_jax.config import to_mapping
from evc_jax.models.speechsplit.config import SpeechSplitConfig
from evc_jax.training.config import TrainConfig


def make_config(arguments: argparse.Namespace) -> TrainConfig:
    """The training of `configs/speechsplit.py` at these sizes, without the moving average of its weights."""
    config, frames = chosen_config("speechsplit", arguments), 32 if arguments.quick else arguments.frames
    model = config.network_config(SpeechSplitConfig)
    longest = min(model.resampling.max_length_frames, frames)
    resampling = dataclasses.replace(model.resampling, padded_frames=frames, max_length_frames=longest)
    return dataclasses.replace(
        config,
        model={**config.model, "resampling": to_mapping(resampling)},
        options={**config.options, "min_crop_frames": longest // 2},
        ema_decay=0.0,
    )


def theirs(reference: Path, config: TrainConfig) -> list[Contender]:
    def prepare(compiled: bool):
        import torch
        from torch.nn.functional import mse_loss

        system, device = system_without_data(config), originals.device()
        network, resample, quantize = originals.speechsplit(reference, system.model)
        network, resample = network.to(device).train(), resample.to(device).train()
        forward = torch.compile(network) if compiled else network
        adam = config.optimizer
        optimizer = torch.optim.Adam(network.parameters(), adam.learning_rate, (adam.beta1, adam.beta2))
        arrays = synthetic_batch(system, config.batch_size)
        batch = {name: torch.from_numpy(value).to(device) for name, value in arrays.items()}
        half = originals.autocast(device, config.compute_dtype)

        def call():
            with half:
                both = resample(torch.cat((batch["mel"], batch["f0"][..., None]), dim=-1), batch["length"])
                both = torch.cat((both[..., :-1], quantize(both[..., -1])[0]), dim=-1)
                rebuilt = forward(both, batch["mel"], batch["speaker_embedding"])
            loss = mse_loss(batch["mel"], rebuilt.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        return call

    return originals.contenders("SpeechSplit", prepare)


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    config = make_config(arguments)
    batch, frames = config.batch_size, config.network_config(SpeechSplitConfig).resampling.padded_frames
    contenders = [training_step("evc_jax", config)[0]]
    if arguments.reference:
        contenders += theirs(arguments.reference, config)
    details = {
        "batch": batch,
        "frames": frames,
        "dtype": config.compute_dtype,
        "gflop": round(step_cost(config).flops / 1e9, 3),
    }
    subject = f"SpeechSplit training step, {batch} x {frames} frames, {config.compute_dtype}"
    work = Work(subject, 1, "steps", details)
    return [result(work, compare(contenders, arguments.seconds, over=arguments.over))]


def options() -> argparse.ArgumentParser:
    made = parser(__doc__, batch=16)
    made.add_argument("--frames", type=int, default=192, help="of a padded crop, a multiple of 8; default: 192")
    return made


if __name__ == "__main__":
    sys.exit(run(measure, options()))
