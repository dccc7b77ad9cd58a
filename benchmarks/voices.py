"""A small dataset of synthetic voices, for benchmarks that read training data."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from evc_jax.audio import io as audio_io
from evc_jax.data.prepare.builder import prepare

NAME, SPEAKERS_PER_SEX, RATE_HZ = "voices", 4, 16000


def prepare_voices(folder: Path, recordings: int) -> str:
    """Prepares a dataset of so many recordings of each of eight speakers in `folder`/datasets; returns its name."""
    rows, generator = [], np.random.default_rng(0)
    for number in range(2 * SPEAKERS_PER_SEX):
        sex = ("male", "female")[number % 2]
        for take in range(recordings):
            file = folder / f"{number}-{take}.wav"
            f0_hz = (100.0, 200.0)[number % 2] * generator.uniform(0.8, 1.2)
            audio_io.save(file, buzz(f0_hz, generator.uniform(2.5, 5.0), generator), RATE_HZ)
            rows.append({"path": str(file), "speaker": str(number), "sex": sex, "emotion": "neutral", "text": "a"})
    table = folder / "voices.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    prepare("manifest", table, folder / "datasets", dataset_name=NAME, embedder=embed_nobody, progress=False)
    return NAME


def buzz(f0_hz: float, seconds: float, generator: np.random.Generator) -> np.ndarray:
    """Harmonics of a wavering F0 with pauses in between; float32."""
    times_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * f0_hz * (times_s + 0.02 * np.sin(2 * np.pi * 0.7 * times_s))
    sound = np.sum([np.sin(k * phase) / k for k in range(1, 16)], axis=0)
    loudness = np.maximum(0, np.sin(2 * np.pi * 1.5 * times_s + generator.uniform(0, 6)))
    return (0.1 * sound * loudness).astype(np.float32)


def embed_nobody(samples: np.ndarray) -> np.ndarray:
    """Stands in for the voice encoder, which here would only cost time."""
    values = np.abs(np.fft.rfft(samples, 510)).astype(np.float32) + 1e-3
    return values / np.linalg.norm(values)
