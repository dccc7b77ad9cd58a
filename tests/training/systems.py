"""The five systems at their `tiny` sizes, without data on disk, and random batches for them."""

import contextlib
import importlib.util
from pathlib import Path
from unittest import mock

import jax
import numpy as np
from etils import epath

from evc_jax.models import recurrent
from evc_jax.training import config as training_config
from evc_jax.training import parallel

recurrent.UNROLL = 1  # compiles twice as fast, and computes the same
BATCH = 8
WORKDIR = epath.Path("unused")  # these systems keep nothing there
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
CODE_CHANNELS, CODE_FRAMES, WINDOWS = 10, 24, 64
SYSTEMS = ("speechsplit", "f0_converter", "waveglow", "voicegan", "codegan")


def load_config(name, variant="tiny", **changes):
    """The parsed configuration of `configs/NAME.py:VARIANT`, with top-level changes."""
    spec = importlib.util.spec_from_file_location(f"config_{name}", CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(variant)
    config.update(changes)
    return training_config.parse(config)


def make_system(name, **changes):
    """A system; CodeGAN's codes are random ones instead of a trained SpeechSplit's."""
    from evc_jax.training import codegan
    from evc_jax.training.loop import build_system

    # The reference's rate: with a large one, rounding errors grow from step to step in CodeGAN's normalisations.
    precision = "float64" if jax.config.jax_enable_x64 else "float32"
    config = load_config(name, **{"optimizer": {"learning_rate": 1e-4}, "compute_dtype": precision, **changes})
    emotion = np.arange(WINDOWS, dtype=np.int32) % 13 % 8  # not equally frequent
    codes = np.random.default_rng(0).normal(size=(WINDOWS, CODE_FRAMES, CODE_CHANNELS)).astype(np.float32)
    encoded = codegan.EncodedSplit(codes, emotion, np.arange(WINDOWS))
    with (
        mock.patch.object(codegan, "load_for_inference"),
        mock.patch.object(codegan, "CodeEncoder"),
        mock.patch.object(codegan.CodeGANSystem, "_codes", return_value=encoded),
    ):
        return build_system(config, WORKDIR)


def random_batch(system, seed=0):
    """A batch of the right shapes, different for every seed."""
    draw = np.random.default_rng(seed)
    name = system.config.system
    if name in ("voicegan", "codegan"):
        return _gan_batch(system, draw, seed)
    index = np.arange(BATCH) + seed * BATCH
    if name == "waveglow":
        samples = system.options.segment_samples
        return {
            "audio": (0.1 * draw.normal(size=(BATCH, samples))).astype(np.float32),
            "mel": draw.random((BATCH, samples // 256 + 1, 80), dtype=np.float32),
            "index": index,
        }
    return {
        "mel": draw.random((BATCH, 192, 80), dtype=np.float32),
        "f0": (0.5 + 0.4 * np.sin(np.arange(192) / draw.uniform(5, 30, (BATCH, 1)))).astype(np.float32),
        "length": draw.integers(64, 129, BATCH).astype(np.int32),
        "speaker_embedding": draw.random((BATCH, 256), dtype=np.float32),
        "index": index,
    }


def _gan_batch(system, draw, seed):
    shape = (BATCH, system.options.critic_steps)
    batch = {"index": np.arange(np.prod(shape)).reshape(shape) + seed * 1000}
    if system.config.system == "codegan":
        codes = draw.normal(size=(*shape, CODE_FRAMES, CODE_CHANNELS)).astype(np.float32)
        return {**batch, "codes": codes, "emotion": draw.integers(0, 8, shape).astype(np.int32)}
    embedding = np.abs(draw.normal(size=(*shape, system.model.embedding_dim)))
    embedding = (embedding / np.linalg.norm(embedding, axis=-1, keepdims=True)).astype(np.float32)
    return {**batch, "embedding": embedding, "sex": draw.integers(0, 2, shape).astype(np.int32)}


@contextlib.contextmanager
def quick_compilation():
    """Programs that are compiled for a few small steps need no optimisation."""
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


def exact_enough(name):
    """A context in which rounding cannot hide whether two trainings are the same.

    CodeGAN has biases before instance normalisations. Their true gradient is zero, so that in float32 Adam makes full
    steps of whatever rounding leaves.
    """
    return jax.enable_x64(name == "codegan")


def run_steps(system, mesh, steps, own=slice(None)):
    """Trains for some steps; returns the final parameters and each step's metrics, on the host.

    `own` is this process's part of each batch.
    """
    step = parallel.map_step(system.step, mesh)
    state = parallel.init_replicated(system.init, jax.random.key(0), mesh)
    key = parallel.replicate(jax.random.key(7), mesh)
    collected = []
    for i in range(steps):
        batch = {name: value[own] for name, value in random_batch(system, seed=i).items()}
        state, metrics = step(state, parallel.shard_batch(batch, mesh), key)
        collected.append(jax.device_get(metrics))
    return trained_params(jax.device_get(state)), collected


def trained_params(state):
    """The networks' parameters of any state."""
    return state.params if hasattr(state, "params") else (state.generator, state.discriminator)
