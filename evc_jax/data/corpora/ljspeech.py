"""LJSpeech: one woman reads 13,100 sentences (Ito and Johnson, 2017)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evc_jax.data.corpora.recording import Corpus, Recording, unpacked
from evc_jax.data.corpora.tables import read_text
from evc_jax.files import find_recordings


def _read(root: Path, prefix: str) -> Iterator[Recording]:
    root = unpacked(root, "LJSpeech-1.1")
    rows = read_text(CORPUS.require(root / "metadata.csv")).splitlines()
    # Not a CSV: quotation marks are text, and a bar separates id, text and normalized text.
    texts = {row.split("|")[0]: row.split("|")[-1] for row in rows if "|" in row}
    for path in find_recordings(root / "wavs").files:
        yield Recording(
            path=path,
            utterance_id=path.stem,
            speaker=f"{prefix}-LJ",
            sex="female",
            text_id=f"{prefix}-{path.stem}",
            text=texts.get(path.stem, ""),
        )


CORPUS = Corpus(
    "ljspeech",
    "public domain",
    "expected metadata.csv and wavs/LJ*.wav from https://keithito.com/LJ-Speech-Dataset/",
    _read,
)
