"""How long the work should take at the speeds of a machine, counted before any of it runs.

The time is the longest of four that nothing can avoid: arithmetic at the speed of the fastest matrix product, traffic
at the speed of a copy (of every product's operands and results once, and of the training's state twice), cells of a
recurrent network that wait for one another, and the start of a program.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from benchmarks import waveglow_synthesis
from benchmarks.step_costs import product_bytes, step_cost
from benchmarks.systems import load_config
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.training.flops import count_flops, total_cost

# A recurrent cell is some three kernels, a product and two passes, each waiting for the one before.
KERNELS_PER_CELL, KERNEL_S = 3, 2.5e-6
CLIP_S, RATE_HZ = 10.0, 16_000
# By name: the system, what is done, the type of the arithmetic, the batch.
WORKS = {
    "SpeechSplit step": ("speechsplit", "float32", 16),
    "CodeGAN step": ("codegan", "float32", 16),
    "VoiceGAN step": ("voicegan", "float32", 16),
    "WaveGlow step": ("waveglow", "bfloat16", 12),
    "WaveGlow synthesis, batch 1": ("synthesis", "bfloat16", 1),
    "WaveGlow synthesis, batch 16": ("synthesis", "bfloat16", 16),
}


def expected_s(name: str, speeds: Mapping[str, Any], quick: bool = False) -> dict[str, float]:
    """What a work costs, and the least time that it can take on this machine.

    Args:
      name: of one of `WORKS`.
      speeds: `float32_flops_per_s`, `bfloat16_flops_per_s`, `bytes_per_s`, `start_s` of the machine.
      quick: of the `tiny` networks.
    """
    system, dtype, batch = WORKS[name]
    variant = "tiny" if quick else "full"
    if system == "synthesis":
        flops, moved_bytes, cells = _synthesis(variant, dtype, batch, 8 if quick else round(CLIP_S * RATE_HZ / 256))
    else:
        flops, moved_bytes, cells = _step(system, variant, dtype, batch)
    times_s = {
        "arithmetic_s": flops / speeds[f"{dtype}_flops_per_s"],
        "traffic_s": moved_bytes / speeds["bytes_per_s"],
        "cells_s": cells * KERNELS_PER_CELL * KERNEL_S,
        "start_s": speeds["start_s"],
    }
    return {"flops": flops, "bytes": moved_bytes, "cells": cells, **times_s, "expected_s": max(times_s.values())}


def _step(system: str, variant: str, dtype: str, batch: int) -> tuple[float, int, int]:
    cost = step_cost(load_config(system, variant, batch_size=batch, compute_dtype=dtype))
    # The cells of a GAN are updates of its critic.
    cells = 0 if system in ("codegan", "voicegan") else cost.loop_iterations
    return cost.flops, cost.product_bytes + 2 * cost.state_bytes, cells


def _synthesis(variant: str, dtype: str, batch: int, frames: int) -> tuple[float, int, int]:
    network = load_config("waveglow", variant).network_config(WaveGlowConfig)
    mel = np.zeros((batch, frames, network.mel_bands), np.float32)
    config = dataclasses.replace(network, dtype=dtype)
    inputs = jax.eval_shape(functools.partial(_inputs, config, mel))
    function = waveglow_synthesis.compiled_synthesis(config).__wrapped__
    return count_flops(function, *inputs), total_cost(product_bytes, function, *inputs), 0


def _inputs(config: WaveGlowConfig, mel: np.ndarray) -> tuple:
    return waveglow_synthesis.program(config, mel)[1]
