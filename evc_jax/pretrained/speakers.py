"""Speakers that a bundle's networks were trained on: a file beside `bundle.json`, from which a map is made."""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evc_jax.features import EMBEDDING_DIM
from evc_jax.files import atomic_file

SPEAKERS_FILE = "speakers.npz"


@dataclass(frozen=True, eq=False)
class TrainingSpeakers:
    """N speakers of training splits.

    Attributes:
      names: as the datasets have them, such as "ravdess-07".
      sexes: "male", "female" or "unknown".
      embeddings: the mean speaker embedding of each, of unit length.
    """

    names: tuple[str, ...]
    sexes: tuple[str, ...]
    embeddings: Float[np.ndarray, "N 256"]


def write_speakers(file: str | os.PathLike, speakers: TrainingSpeakers) -> None:
    """Writes the file, whole or not at all; embeddings as float16, two bytes a number."""
    with atomic_file(file) as beside, beside.open("wb") as stream:
        np.savez_compressed(
            stream,
            name=np.array(speakers.names),
            sex=np.array(speakers.sexes),
            embedding=speakers.embeddings.astype(np.float16),
        )


def read_speakers(file: str | os.PathLike) -> TrainingSpeakers:
    """Reads what `write_speakers` wrote.

    Raises:
      OSError: it cannot be read.
      ValueError: it holds something else.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            names, sexes, stored = (_column(archive, name) for name in ("name", "sex", "embedding"))
    except (KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(str(error) or "it ends too early") from error
    if names.dtype.kind != "U" or sexes.dtype.kind != "U" or stored.dtype != np.float16:
        raise ValueError("names, sexes and embeddings are not text and float16")
    if names.ndim != 1 or names.shape != sexes.shape or stored.shape != (len(names), EMBEDDING_DIM):
        raise ValueError(f"each speaker needs a name, a sex and {EMBEDDING_DIM} numbers")
    embeddings = stored.astype(np.float32)
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise ValueError("an embedding is zero or not finite")
    return TrainingSpeakers(tuple(names.tolist()), tuple(sexes.tolist()), embeddings / lengths)


def _column(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)
