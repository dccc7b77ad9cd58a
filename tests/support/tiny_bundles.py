"""A tiny bundle with random parameters, built once per test session and never shipped."""

from __future__ import annotations

import atexit
import functools
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np

from evc_jax.audio.config import AudioConfig
from evc_jax.config import to_mapping
from evc_jax.conversion.converter import Converter
from evc_jax.pretrained.bundle import save_bundle
from evc_jax.pretrained.description import build_network
from evc_jax.pretrained.speakers import TrainingSpeakers

EMOTIONS = ("neutral", "happy", "sad")
_ENCODER = {"width": 16, "factor": 8, "lstm_layers": 1}
CONFIGS: dict[str, dict[str, Any]] = {
    "speechsplit": {
        "content": _ENCODER | {"neck": 2, "blocks": 1},
        "rhythm": _ENCODER | {"neck": 1, "blocks": 1},
        "pitch": _ENCODER | {"neck": 4, "blocks": 1},
        "decoder_width": 16,
        "decoder_layers": 1,
    },
    "f0_converter": {
        "rhythm": _ENCODER | {"neck": 1, "blocks": 1},
        "pitch": _ENCODER | {"neck": 4, "blocks": 1},
        "decoder_width": 16,
        "decoder_layers": 1,
    },
    "voicegan": {"noise_dim": 8, "generator_widths": [16], "discriminator_widths": [16]},
    "codegan": {
        "code_channels": 10,
        "emotions": len(EMOTIONS),
        "down_widths": [8, 8],
        "up_widths": [8],
        "residual_blocks": 1,
        "discriminator_widths": [8],
        "discriminator_kernels": [3],
        "discriminator_groups": [1],
    },
    "waveglow": {"flows": 2, "wn_layers": 2, "wn_channels": 8, "early_every": 1},
}
# Beside those: an emotion by prosody instead of codes.
PROSODY = {"emotions": len(EMOTIONS), "width": 8, "layers": 2}


def config_of(name: str) -> dict[str, Any]:
    """A network's settings."""
    return PROSODY if name == "prosody" else CONFIGS[name]


def description(names=tuple(CONFIGS)) -> dict[str, Any]:
    """What `bundle.json` says of a bundle with these networks."""
    return {
        "created": "2024-01-01",
        "audio": to_mapping(AudioConfig()),
        "emotions": list(EMOTIONS),
        "code": "pitch_rhythm",
        "default_vocoder": "griffin-lim",
        "networks": {name: {"config": config_of(name), "steps": 0, "validation": {}} for name in names},
        "data": [],
        "licence": "none",
        "evaluation": {},
    }


def random_params(names=tuple(CONFIGS), seed: int = 0) -> dict[str, Any]:
    """Parameters of these networks, drawn by NumPy, because compiling the real initialization takes a while."""
    rng = np.random.default_rng(seed)
    params = {}
    for name in names:
        network = build_network(name, config_of(name))
        params[name] = jax.tree_util.tree_map_with_path(lambda path, leaf: _draw(rng, path, leaf), network.shapes())
    return params


def _draw(rng: np.random.Generator, path, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    if name.startswith("mixers"):  # invertible matrices
        return np.linalg.qr(rng.standard_normal(leaf.shape))[0].astype(np.float32)
    if name.endswith("scale"):
        return np.ones(leaf.shape, np.float32)
    if name.endswith("projection.bias"):  # the middle of the mel's range
        return np.full(leaf.shape, 0.4, np.float32)
    spread = 1.5 if len(leaf.shape) > 1 else 0.1
    return (spread * rng.standard_normal(leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))).astype(np.float32)


def tiny_speakers(count: int = 5) -> TrainingSpeakers:
    """Invented training speakers."""
    values = np.random.default_rng(0).normal(size=(count, 256)).astype(np.float32)
    names = tuple(f"corpus-{i}é" for i in range(count))
    sexes = ("male", "female", "unknown", "male", "female")[:count]
    return TrainingSpeakers(names, sexes, values / np.linalg.norm(values, axis=1, keepdims=True))


def write_bundle(path: Path, names=tuple(CONFIGS), seed: int = 0, speakers: TrainingSpeakers | None = None) -> Path:
    """A bundle with these networks at `path`."""
    return save_bundle(path, description(names), random_params(names, seed), speakers=speakers)


@functools.cache
def tiny_converter() -> Converter:
    """A converter of that bundle for all tests of a session, so that its networks are compiled once."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Converter.load(write_bundle(Path(folder.name) / "tiny", speakers=tiny_speakers()))


def tone(seconds: float, rate_hz: int = 16000, f0_hz: float = 140.0, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """Something like a voice: a gliding, breathing harmonic tone; float32 [S]."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * np.cumsum(f0_hz * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * t))) / rate_hz
    harmonics = sum(np.sin(k * phase) / k for k in range(1, 20) if k * f0_hz * 1.3 < rate_hz / 2)
    breath = 0.01 * np.random.default_rng(seed).standard_normal(len(t))
    return (level * (harmonics * (0.6 + 0.4 * np.sin(2 * np.pi * 2.5 * t)) + breath)).astype(np.float32)
