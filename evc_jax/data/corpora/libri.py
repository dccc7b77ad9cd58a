"""LibriSpeech, and LibriTTS and LibriTTS-R made from the same audio books (Panayotov 2015, Zen 2019, Koizumi 2023).

All three lie in `SUBSET/SPEAKER/CHAPTER/` and give the readers' sexes in a table. LibriSpeech has one transcript per
chapter, the other two one file per utterance, of which the normalized text is taken.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from evc_jax.data.corpora.recording import Corpus, Recording, sex_named, unpacked
from evc_jax.data.corpora.tables import optional_text, read_text
from evc_jax.files import find_recordings

_SPLITS = {"train": "train", "dev": "validation", "test": "test"}


def _corpus(name: str, folder: str, tables: tuple[str, ...], source: str) -> Corpus:
    def read(root: Path, prefix: str) -> Iterator[Recording]:
        root = unpacked(root, folder)
        sexes = _sexes(corpus.require(*(root / table for table in tables)))
        # Files come chapter by chapter, so one is enough.
        chapter = functools.lru_cache(maxsize=1)(_chapter)
        for path in find_recordings(root, 4, 4).files:
            subset, speaker, _ = path.relative_to(root).parts[:3]
            text = chapter(path.parent).get(path.stem) or optional_text(path.with_suffix(".normalized.txt"))
            yield Recording(
                path=path,
                utterance_id=path.relative_to(root).with_suffix("").as_posix(),
                speaker=f"{prefix}-{speaker}",
                sex=sexes.get(speaker, "unknown"),
                text_id=f"{prefix}-{path.stem}",
                text=text,
                split=_SPLITS.get(subset.split("-")[0]),
            )

    corpus = Corpus(name, "CC BY 4.0", source, read)
    return corpus


def _sexes(table: Path) -> dict[str, str]:
    # Names hold the separators, and the head of speakers.tsv has fewer tabs than its rows: only the first two count.
    separator = "\t" if table.suffix == ".tsv" else "|"
    sexes = {}
    for line in read_text(table).splitlines():
        fields = [field.strip() for field in line.split(separator)]
        if len(fields) > 1 and fields[0].isdigit():
            sexes[fields[0]] = sex_named(fields[1])
    return sexes


def _chapter(folder: Path) -> dict[str, str]:
    lines = (line for file in sorted(folder.glob("*.trans.txt")) for line in read_text(file).splitlines())
    return dict(line.split(" ", 1) for line in lines if " " in line)


LIBRISPEECH = _corpus(
    "librispeech",
    "LibriSpeech",
    ("SPEAKERS.TXT",),
    "expected SPEAKERS.TXT and SUBSET/SPEAKER/CHAPTER/*.flac from https://www.openslr.org/12",
)
LIBRITTS = _corpus(
    "libritts",
    "LibriTTS",
    ("SPEAKERS.txt", "speakers.tsv"),
    "expected SPEAKERS.txt and SUBSET/SPEAKER/CHAPTER/*.wav from https://www.openslr.org/60",
)
LIBRITTS_R = _corpus(
    "libritts_r",
    "LibriTTS_R",
    ("SPEAKERS.txt", "speakers.tsv"),
    "expected speakers.tsv of doc.tar.gz and SUBSET/SPEAKER/CHAPTER/*.wav from https://www.openslr.org/141",
)
