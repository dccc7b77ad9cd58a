"""WaveGlow from mel-spectrogram to waveform, beside NVIDIA's.

    python -m benchmarks.waveglow_synthesis --reference waveglow
    python -m benchmarks.waveglow_synthesis --variant light

Weights are random: how fast it is does not depend on them. The original runs as its `inference.py` has it, without
weight normalisation.
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
from benchmarks.systems import chosen_config
from evc_jax.models.network import Network
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.network import WaveGlow
from evc_jax.models.waveglow.synthesis import noise_shapes
from evc_jax.training.flops import count_flops
from evc_jax.vocoders.waveglow import compiled_synthesis


def program(config: WaveGlowConfig, mel: np.ndarray) -> tuple[Any, tuple]:
    """The jitted synthesis of random weights, and its inputs."""
    network = Network(WaveGlow, config)
    key = jax.random.key(0)
    params = jax.tree.map(lambda leaf: 0.05 * jax.random.normal(key, leaf.shape), network.shapes())
    weights = jax.jit(lambda params: network.apply(params, method="synthesis_weights"))(params)
    noise = tuple(jax.random.normal(jax.random.key(1), shape) for shape in noise_shapes(config, *mel.shape[:2]))
    return compiled_synthesis(config), (weights, mel, noise, 0.6)


def ours(config: WaveGlowConfig, mel: np.ndarray) -> Contender:
    def prepare():
        function, inputs = program(config, mel)
        compiled = function.lower(*inputs).compile()
        return lambda: np.asarray(compiled(*inputs))

    return Contender("evc_jax", prepare)


def theirs(reference: Path, config: WaveGlowConfig, mel: np.ndarray) -> list[Contender]:
    """The original; beside bfloat16 in its own half precision, which is float16 and needs a GPU."""

    def prepare(compiled: bool):
        import torch

        network, device = originals.waveglow(reference, config), originals.device()
        dtype = torch.float32 if config.dtype == "float32" else torch.float16
        network = network.remove_weightnorm(network).eval().to(device, dtype)
        infer = torch.compile(network.infer) if compiled else network.infer
        spectrogram = torch.from_numpy(mel.swapaxes(1, 2).copy()).to(device, dtype)

        def call():
            with torch.no_grad(), originals.on_cpu():
                return infer(spectrogram, sigma=0.6).float().cpu().numpy()

        return call

    return originals.contenders("NVIDIA/waveglow", prepare)


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    config = chosen_config("waveglow", arguments, arguments.variant).network_config(WaveGlowConfig)
    if arguments.channels:
        config = dataclasses.replace(config, wn_channels=arguments.channels)
    frames = 8 if arguments.quick else round(arguments.clip_s * arguments.rate_hz / config.upsample_stride)
    mel = np.random.default_rng(0).normal(size=(arguments.batch, frames, config.mel_bands)).astype(np.float32)
    contenders = [ours(config, mel)]
    if arguments.reference:
        contenders += theirs(arguments.reference, config, mel)
    samples = arguments.batch * frames * config.upsample_stride
    inputs = jax.eval_shape(lambda: program(config, mel)[1])
    sizes = f"{config.flows} flows, groups of {config.group_samples}, {config.wn_channels} channels"
    work = Work(
        f"WaveGlow synthesis, {sizes}, {arguments.batch} x {frames} frames",
        samples,
        "samples",
        {
            "dtype": config.dtype,
            "parameters": Network(WaveGlow, config).count(),
            "gflop": round(count_flops(compiled_synthesis(config).__wrapped__, *inputs) / 1e9, 3),
        },
    )
    return [result(work, compare(contenders, arguments.seconds, over=arguments.over))]


def options() -> argparse.ArgumentParser:
    made = parser(__doc__, batch=1)
    made.add_argument("--variant", default="full", help="of configs/waveglow.py; default: full, with --quick tiny")
    made.add_argument("--channels", type=int, help="of the coupling networks; default: the variant's")
    made.add_argument("--clip-s", type=float, default=10.0, help="length of a clip; default: 10")
    made.add_argument("--rate-hz", type=int, default=16_000, help="of the clip; default: 16000")
    return made


if __name__ == "__main__":
    sys.exit(run(measure, options()))
