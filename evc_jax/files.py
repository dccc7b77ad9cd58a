"""Folders: the recordings inside one, and one that is written as a whole."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from evc_jax.errors import ConfigError

ASSETS = Path(__file__).resolve().parent / "assets"

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


@contextlib.contextmanager
def atomic_dir(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a new folder to fill, which takes the place of whatever is at `path` once the block has ended well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        yield partial
        _move_into_place(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _move_into_place(partial: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.rename(old)
    try:
        partial.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
