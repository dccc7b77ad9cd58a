"""Reads the golden features: what the original pipeline computed of a few recordings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evc_jax.audio import io as audio_io


@dataclass(frozen=True)
class GoldenFeatures:
    """One recording (float32 at 16 kHz) and its golden features."""

    name: str
    samples: np.ndarray
    mel: np.ndarray
    rapt_f0_hz: np.ndarray
    normalized_log_f0: np.ndarray
    embedding: np.ndarray


def read(golden_dir: Path, data_dir: Path) -> Iterator[GoldenFeatures]:
    with np.load(golden_dir / "features.npz") as golden:
        for name in golden["files"]:
            path, key = str(name).replace("__", "/"), str(name).replace("/", "__")
            yield GoldenFeatures(
                name=path,
                samples=audio_io.load(data_dir / path, 16000),
                mel=golden[f"{key}/mel"],
                rapt_f0_hz=golden[f"{key}/rapt_f0_hz"],
                normalized_log_f0=golden[f"{key}/normalized_log_f0"],
                embedding=golden[f"{key}/speaker_embedding"],
            )


def voice(f0_hz: float, seconds: float, rate_hz: int = 16000) -> np.ndarray:
    """A buzz with the harmonics of a voice up to 4 kHz, float32, peak 0.3."""
    times_s = np.arange(int(seconds * rate_hz)) / rate_hz
    harmonics = np.arange(1, int(4000 / f0_hz))
    buzz = np.sum([np.sin(2 * np.pi * f0_hz * h * times_s) / h for h in harmonics], axis=0)
    return (0.3 * buzz / np.abs(buzz).max()).astype(np.float32)
