"""Speech to measure with: the demonstration that comes with the package, or a folder of one's own."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from evc_jax.audio import io as audio_io
from evc_jax.files import ASSETS, recordings_in

DEMO = ASSETS / "demo.wav"


def speech(seconds: float, sample_rate_hz: int) -> np.ndarray:
    """So much of the demonstration, from the beginning again where it ends; float32."""
    samples = audio_io.load(DEMO, sample_rate_hz)
    return np.resize(samples, max(1, round(seconds * sample_rate_hz)))


def with_recording(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The parser with options of what is converted, and with what."""
    parser.add_argument("--bundle", metavar="DIR", help="default: the bundle that comes with the package")
    parser.add_argument("--clip-s", type=float, default=3.0, help="length of the recording; default: 3")
    return parser


def clips(folder: Path | None, sample_rate_hz: int, count: int) -> list[np.ndarray]:
    """The first recordings of a folder, evenly over it; without a folder three lengths of the demonstration.

    Raises:
      EvcError: there are none, or one cannot be read.
    """
    if folder is None:
        return [speech(seconds, sample_rate_hz) for seconds in (2.0, 4.0, 6.0)][:count]
    files = recordings_in(folder)
    chosen = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
    return [audio_io.load(files[i], sample_rate_hz) for i in chosen]
