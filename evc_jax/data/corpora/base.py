"""The description of a corpus layout, and the folders of unpacked archives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from evc_jax.data.corpora.recording import Recording
from evc_jax.errors import DataError
from evc_jax.files import printable


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The description of a corpus layout.

    Attributes:
      name: on the command line and in `CORPORA`.
      licence: of the recordings, as its publisher states it.
      source: the expected files, and where they are published; part of error messages.
      read: (root, prefix of speaker and text ids) -> recordings in any order.
    """

    name: str
    licence: str
    source: str
    read: Callable[[Path, str], Iterator[Recording]]

    def require(self, *candidates: Path) -> Path:
        """The first of the candidates that exists.

        Raises:
          DataError: none does.
        """
        for path in candidates:
            if path.exists():
                return path
        others = "".join(f" (or {path.name})" for path in candidates[1:])
        raise DataError(
            f"{printable(candidates[0])}{others} is missing, without which {self.name} cannot be read; {self.source}."
        )


def unpacked(root: Path, *names: str) -> Path:
    """The folder of an archive: one of `names` in `root` if it lies there, else `root` itself."""
    return next((root / name for name in names if (root / name).is_dir()), root)
