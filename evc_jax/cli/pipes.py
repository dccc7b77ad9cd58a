"""Recordings that come through a pipe or leave through one: `-`, `/dev/stdin`, a named pipe."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evc_jax.errors import AudioError, ConfigError

PIPE = "-"


@contextlib.contextmanager
def received(inputs: Sequence[str]) -> Iterator[list[str]]:
    """The inputs as files that can be read more than once; what comes through a pipe is copied to a temporary file.

    Raises ConfigError where standard input is named twice, AudioError where nothing came.
    """
    if sum(name == PIPE for name in inputs) > 1:
        raise ConfigError("Standard input can be read only once; give - once.")
    with contextlib.ExitStack() as stack:
        yield [str(stack.enter_context(_copied(name))) if _is_pipe(name) else name for name in inputs]


def listing(output: str) -> Any:
    """Where what was written is listed: standard output, unless that is where the sound goes."""
    return sys.stderr if output == PIPE else sys.stdout


@contextlib.contextmanager
def sent(output: str, suffix: str = ".wav") -> Iterator[str]:
    """The file to write: a temporary one that goes to standard output at the end where the output is `-`."""
    if output != PIPE:
        yield output
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"output{suffix}"
        yield str(file)
        if file.exists():
            with file.open("rb") as written:
                shutil.copyfileobj(written, sys.stdout.buffer)
            sys.stdout.buffer.flush()


def _is_pipe(name: str) -> bool:
    path = Path(name)
    return name == PIPE or path.is_fifo() or path.is_char_device()


@contextlib.contextmanager
def _copied(name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "standard_input"
        source = contextlib.nullcontext(sys.stdin.buffer) if name == PIPE else Path(name).open("rb")  # noqa: SIM115
        with source as pipe, file.open("wb") as copy:
            shutil.copyfileobj(pipe, copy)
        if not file.stat().st_size:
            raise AudioError(f"Nothing came through {'standard input' if name == PIPE else name}; send a recording.")
        yield file
