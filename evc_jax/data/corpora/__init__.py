"""Readers of speech corpora in the layouts of their public releases, one module per corpus or family.

A reader looks at names and metadata files only; no audio is opened here. All of `files.RECORDING_SUFFIXES` are taken
alike, so copies converted to another container read as the original does. Metadata without which recordings would
lose their speaker's sex, their emotion or their split must be there; a transcript may be missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from evc_jax.data.corpora import acted, common_voice, custom, esd, iemocap, libri, ljspeech, vctk
from evc_jax.data.corpora.recording import EMOTIONS, SEXES, Corpus, Recording, require_unique
from evc_jax.data.corpora.tables import unreadable
from evc_jax.errors import DataError
from evc_jax.files import find_recordings, passed_over_lines, printable

__all__ = ["CORPORA", "EMOTIONS", "SEXES", "Corpus", "Recording", "read_corpus"]

OUTSIDE_LAYOUT = "not in the layout"

CORPORA = {
    corpus.name: corpus
    for corpus in (
        acted.RAVDESS,
        acted.EMODB,
        acted.CREMA_D,
        esd.CORPUS,
        iemocap.CORPUS,
        vctk.CORPUS,
        ljspeech.CORPUS,
        libri.LIBRISPEECH,
        libri.LIBRITTS,
        libri.LIBRITTS_R,
        common_voice.CORPUS,
        custom.FOLDER,
        custom.MANIFEST,
    )
}


def read_corpus(name: str, path: str | Path, prefix: str | None = None) -> list[Recording]:
    """Lists the recordings of a corpus, ordered by utterance id.

    Args:
      name: a key of `CORPORA`.
      path: the corpus's root folder, or the one above it into which the archive was unpacked; for "manifest" the CSV
        file.
      prefix: put before speaker and text ids to keep corpora apart; the corpus's name if None.

    Raises:
      DataError: unknown corpus, missing folder or metadata file, or no recordings in the expected layout.
    """
    if name not in CORPORA:
        raise DataError(f"There is no corpus named {name!r}; known are {', '.join(sorted(CORPORA))}.")
    corpus, path = CORPORA[name], Path(path)
    try:
        if not path.exists():
            raise DataError(f"{printable(path)} does not exist; expected the {name} corpus there ({corpus.source}).")
        recordings = require_unique(corpus.read(path, prefix or name), name)
    except OSError as error:
        raise unreadable(Path(error.filename or path), error) from error
    if not recordings:
        also = "".join(f"; {line}" for line in passed_over(path, recordings))
        raise DataError(f"{printable(path)} holds no recordings in the layout of {name}; {corpus.source}{also}.")
    return recordings


def passed_over(root: Path, recordings: Iterable[Recording]) -> list[str]:
    """What a corpus's folder holds besides its recordings: a line for each reason, see `files.passed_over_lines`.

    A manifest names its recordings; the folder that it lies in is not searched.
    """
    if not root.is_dir():
        return []
    found, used = find_recordings(root), {recording.path for recording in recordings}
    # A recording may be reached by several links.
    used_elsewhere = {os.path.realpath(path) for path in used.difference(found.files)}
    unused = (file for file in found.files if file not in used and os.path.realpath(file) not in used_elsewhere)
    return passed_over_lines({**found.passed_over, **dict.fromkeys(unused, OUTSIDE_LAYOUT)}, root)
