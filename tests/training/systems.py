"""The five systems at their `tiny` sizes, without data on disk, and random batches for them."""

import importlib.util
from pathlib import Path

import numpy as np
from etils import epath

from evc_jax.training import config as training_config

BATCH = 8
WORKDIR = epath.Path("unused")  # these systems keep nothing there
CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def load_config(name, variant="tiny", **changes):
    """The parsed configuration of `configs/NAME.py:VARIANT`, with top-level changes."""
    spec = importlib.util.spec_from_file_location(f"config_{name}", CONFIGS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config(variant)
    config.update(changes)
    return training_config.parse(config)


def _speechsplit():
    from evc_jax.training.speechsplit import SpeechSplitSystem

    return SpeechSplitSystem(load_config("speechsplit"), WORKDIR)


def _f0_converter():
    from evc_jax.training.f0_converter import F0ConverterSystem

    return F0ConverterSystem(load_config("f0_converter"), WORKDIR)


def _waveglow():
    from evc_jax.training.waveglow import WaveGlowSystem

    return WaveGlowSystem(load_config("waveglow"), WORKDIR)


def _voicegan():
    from evc_jax.training.voicegan import VoiceGANSystem

    return VoiceGANSystem(load_config("voicegan"), WORKDIR)


SYSTEMS = {
    "speechsplit": _speechsplit,
    "f0_converter": _f0_converter,
    "waveglow": _waveglow,
    "voicegan": _voicegan,
}


def random_batch(system, seed=0):
    """A batch of the right shapes, different for every seed."""
    draw = np.random.default_rng(seed)
    name = system.config.system
    if name == "voicegan":
        shape = (BATCH, system.options.critic_steps)
        embedding = np.abs(draw.normal(size=(*shape, system.model.embedding_dim)))
        return {
            "embedding": (embedding / np.linalg.norm(embedding, axis=-1, keepdims=True)).astype(np.float32),
            "sex": draw.integers(0, 2, shape).astype(np.int32),
            "index": np.arange(np.prod(shape)).reshape(shape) + seed * 1000,
        }
    if name == "waveglow":
        samples = system.options.segment_samples
        return {
            "audio": (0.1 * draw.normal(size=(BATCH, samples))).astype(np.float32),
            "mel": draw.random((BATCH, samples // 256 + 1, 80), dtype=np.float32),
            "index": np.arange(BATCH),
        }
    return {
        "mel": draw.random((BATCH, 192, 80), dtype=np.float32),
        "f0": draw.random((BATCH, 192), dtype=np.float32),
        "length": draw.integers(64, 129, BATCH).astype(np.int32),
        "speaker_embedding": draw.random((BATCH, 256), dtype=np.float32),
        "index": np.arange(BATCH) + seed * BATCH,
    }
