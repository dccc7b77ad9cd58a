"""The implementations of the LSTM beside torch.nn.LSTM: how long they take and by how much their results differ.

    python -m benchmarks.lstm --torch

The default is SpeechSplit's decoder: 3 bidirectional layers. A call computes the hidden states of random input and the
gradients by the input and by all weights; with --forward only the states. On a CUDA GPU cuDNN is one of them, and
this decides which to use there (EVC_LSTM=scan, paired or cudnn).
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import originals
from benchmarks.harness import Contender, Work, compare, parser, result, run
from evc_jax.models.lstm import IMPLEMENTATIONS, BiLSTM, run_lstm
from evc_jax.models.lstm_cudnn import on_cuda
from evc_jax.models.network import KeySequence


def draw_layers(arguments: argparse.Namespace) -> tuple[Any, np.ndarray]:
    """Weights of all layers, and input."""
    module = BiLSTM(arguments.inputs, arguments.hidden, layers=arguments.layers, keys=KeySequence(0))
    layers = [getattr(module, str(index)).weights() for index in range(arguments.layers)]
    shape = (arguments.batch, arguments.frames, arguments.inputs)
    return layers, np.random.default_rng(0).normal(size=shape).astype(np.float32)


def ours(implementation: str, arguments: argparse.Namespace, outputs: dict[str, list[np.ndarray]]) -> Contender:
    def prepare():
        layers, x = draw_layers(arguments)

        def hidden(x, layers):
            return run_lstm([x], layers, arguments.frames, jnp.dtype(arguments.dtype), implementation)

        def total(x, layers):
            states = hidden(x, layers)
            return jnp.sum(states * states), states

        function = hidden if arguments.forward else jax.grad(total, argnums=(0, 1), has_aux=True)
        inputs = (jnp.asarray(x), layers)
        compiled = jax.jit(function).lower(*inputs).compile()
        outputs[implementation] = [np.asarray(leaf) for leaf in jax.tree.leaves(compiled(*inputs))]
        return lambda: jax.block_until_ready(compiled(*inputs))

    return Contender(implementation, prepare)


def theirs(arguments: argparse.Namespace) -> Contender:
    def prepare():
        import torch

        device = originals.device()
        sizes = (arguments.inputs, arguments.hidden, arguments.layers)
        network = torch.nn.LSTM(*sizes, batch_first=True, bidirectional=True).to(device)
        x = torch.from_numpy(draw_layers(arguments)[1]).to(device).requires_grad_(not arguments.forward)
        half = originals.autocast(device, arguments.dtype)

        def call():
            with half, torch.set_grad_enabled(not arguments.forward):
                hidden = network(x)[0].float()
            if not arguments.forward:
                network.zero_grad()
                x.grad = None
                (hidden * hidden).sum().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()

        return call

    return Contender("torch.nn.LSTM", prepare, original=True)


def difference(outputs: dict[str, list[np.ndarray]]) -> dict[str, float]:
    """Of each implementation from the scan, the largest of any result, as a share of that result's largest value."""
    return {
        name: float(max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(got, outputs["scan"], strict=True)))
        for name, got in outputs.items()
    }


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    if arguments.quick:
        arguments.batch, arguments.frames, arguments.hidden, arguments.layers = 2, 8, 16, 1
    outputs: dict[str, list[np.ndarray]] = {}
    names = [name for name in IMPLEMENTATIONS if name != "cudnn" or on_cuda()]
    contenders = [ours(name, arguments, outputs) for name in names]
    if arguments.torch:
        contenders.append(theirs(arguments))
    sizes = {name: getattr(arguments, name) for name in ("batch", "frames", "inputs", "hidden", "layers", "dtype")}
    subject = f"BiLSTM {'states' if arguments.forward else 'states and gradients'}, {sizes}"
    timings = compare(contenders, arguments.seconds, over=arguments.over)
    differences = difference(outputs)
    print(f"Largest difference from the scan, as a share of the largest value: {differences}")
    work = Work(subject, arguments.batch * arguments.frames, "frames", {**sizes, "difference": differences})
    return [result(work, timings)]


def options() -> argparse.ArgumentParser:
    made = parser(__doc__, batch=16)
    made.add_argument("--torch", action="store_true", help="beside torch.nn.LSTM")
    made.add_argument("--forward", action="store_true", help="without gradients")
    made.add_argument("--frames", type=int, default=192, help="of a sequence; default: 192")
    made.add_argument("--inputs", type=int, default=338, help="channels; default: 338")
    made.add_argument("--hidden", type=int, default=512, help="per direction; default: 512")
    made.add_argument("--layers", type=int, default=3, help="default: 3")
    return made


if __name__ == "__main__":
    sys.exit(run(measure, options()))
