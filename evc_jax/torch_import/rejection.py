"""Why a foreign file is refused. The readers say what is wrong; the caller puts the file's name before it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from evc_jax.errors import CheckpointError

MAX_NAME = 100


class Rejected(Exception):
    """The rest of a sentence that starts with the file's name: "is cut short; copy it again"."""


class Malformed(Rejected):
    """The file is not what it has to be: damaged, cut short, or of another kind."""

    def __init__(self, reason: str):
        super().__init__(f"is damaged or no PyTorch checkpoint: {reason}; copy it again from where it was made")


class Forbidden(Rejected):
    """The file asks for something that a checkpoint does not need and that could run code."""

    def __init__(self, name: str):
        super().__init__(
            f"asks for {printable(name)}, which is neither a tensor, a plain container nor a PyTorch module; nothing "
            "was executed, do not trust this file"
        )


def printable(name: str) -> str:
    """A name from a file as it may be shown: short, and without control characters."""
    text = name.encode("unicode_escape").decode("ascii")
    return text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}..."


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Turns a rejection into an error that names the file.

    Raises:
      CheckpointError: the file was rejected.
    """
    try:
        yield
    except Rejected as rejected:
        raise CheckpointError(f"{os.fspath(path)} {rejected}.") from rejected
