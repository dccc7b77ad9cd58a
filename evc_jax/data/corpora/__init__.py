"""Readers of speech corpora in the layouts of their public releases, one module per corpus or family.

A reader looks at names and metadata files only; no audio is opened here. `.wav`, `.flac`, `.mp3` and `.ogg` are
taken alike, so copies converted to another container read as the original does. Metadata without which recordings
would lose their speaker's sex, their emotion or their split must be there; a transcript may be missing.
"""

from __future__ import annotations

from pathlib import Path

from evc_jax.data.corpora import common_voice, crema_d, custom, emodb, esd, iemocap, libri, ljspeech, ravdess, vctk
from evc_jax.data.corpora.base import Corpus
from evc_jax.data.corpora.recording import EMOTIONS, SEXES, Recording, require_unique
from evc_jax.errors import DataError

__all__ = ["CORPORA", "EMOTIONS", "SEXES", "Corpus", "Recording", "read_corpus"]

CORPORA = {
    corpus.name: corpus
    for corpus in (
        ravdess.CORPUS,
        emodb.CORPUS,
        crema_d.CORPUS,
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
    if not path.exists():
        raise DataError(f"{path} does not exist; expected the {name} corpus there ({corpus.source}).")
    recordings = require_unique(corpus.read(path, prefix or name), name)
    if not recordings:
        raise DataError(f"{path} holds no recordings in the layout of {name}; {corpus.source}.")
    return recordings
