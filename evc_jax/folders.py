"""Recordings inside folders."""

from __future__ import annotations

import os
from pathlib import Path

from evc_jax.errors import ConfigError

# What is looked for inside a folder; a file that is named itself is always tried.
RECORDING_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".caf")


def recordings_in(folder: str | os.PathLike) -> list[Path]:
    """Recordings in a folder at any depth, sorted; hidden files are none.

    Raises:
      ConfigError: there are none.
    """
    found = sorted(
        file
        for file in Path(folder).rglob("*")
        if file.suffix.lower() in RECORDING_SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
    if not found:
        raise ConfigError(f"The folder {folder} holds no recordings ({', '.join(RECORDING_SUFFIXES)}); give another.")
    return found
