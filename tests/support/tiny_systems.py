"""The seven systems at their `tiny` sizes, without data on disk, and training them."""

import contextlib
from pathlib import Path

import jax

from benchmarks.fake_data import synthetic_batch, system_without_data
from evc_jax.models import lstm
from evc_jax.training import config as training_config
from evc_jax.training import parallel

lstm.UNROLL = 1  # compiles twice as fast, and computes the same
BATCH = 8
CODE_CHANNELS = 10
CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SYSTEMS = ("speechsplit", "f0_converter", "waveglow", "voicegan", "codegan", "prosody", "timbre_converter")


def load_config(name, variant="tiny", **changes):
    """The parsed configuration of `configs/NAME.py:VARIANT`, with top-level changes."""
    config = training_config.load_config_file(CONFIGS / f"{name}.py", variant)
    config.update(changes)
    return training_config.parse(config)


def make_system(name, **changes):
    """A system without data on disk."""
    # The reference's rate: with a large one, rounding errors grow from step to step in CodeGAN's normalizations.
    precision = "float64" if jax.config.jax_enable_x64 else "float32"
    config = load_config(name, **{"optimizer": {"learning_rate": 1e-4}, "compute_dtype": precision, **changes})
    return system_without_data(config, code_channels=CODE_CHANNELS)


# The same for other processes, in their environment.
QUICK_COMPILATION = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}


@contextlib.contextmanager
def quick_compilation():
    """Programs that are compiled for a few small steps need no optimization."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def exact_enough(name):
    """A context in which rounding cannot hide whether two trainings are the same.

    CodeGAN has biases before instance normalizations. Their true gradient is zero, so that in float32 Adam makes full
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
        batch = {name: value[own] for name, value in synthetic_batch(system, BATCH, seed=i).items()}
        state, metrics = step(state, parallel.shard_batch(batch, mesh), key)
        collected.append(jax.device_get(metrics))
    return trained_params(jax.device_get(state)), collected


def trained_params(state):
    """The networks' parameters of any state."""
    return state.params if hasattr(state, "params") else (state.generator, state.discriminator)
