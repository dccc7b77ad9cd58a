"""Recordings of one person for tests of `evc adapt`: the package's own speech, cut anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from evc_jax.audio import io as audio_io
from evc_jax.files import ASSETS

RATE_HZ = 16000


def speech(rate_hz: int = RATE_HZ) -> np.ndarray:
    """Some seconds of a woman's speech."""
    return audio_io.load(ASSETS / "voice_female.flac", rate_hz)


def write_recordings(folder: Path, count: int = 6) -> Path:
    """So many recordings of a few seconds, each of another part of the speech."""
    folder.mkdir(parents=True)
    samples = np.concatenate([speech()] * 3)
    for i in range(count):
        start = i * RATE_HZ // 2
        soundfile.write(folder / f"{i}.wav", samples[start : start + 4 * RATE_HZ], RATE_HZ)
    return folder
