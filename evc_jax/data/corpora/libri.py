"""LibriSpeech, and LibriTTS and LibriTTS-R made from the same audio books (Panayotov 2015, Zen 2019, Koizumi 2023).

All three lie in `SUBSET/SPEAKER/CHAPTER/` and give the readers' sexes in a table. LibriSpeech has one transcript per
chapter, the other two one file per utterance, of which the normalized text is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from evc_jax.data.corpora.base import Corpus, unpacked
from evc_jax.data.corpora.recording import Recording, audio_files, sex_named, utterance_id
from evc_jax.data.corpora.tables import read_text

_SPLITS = {"train": "train", "dev": "validation", "test": "test"}


def _read_librispeech(root: Path, prefix: str) -> Iterator[Recording]:
    root = unpacked(root, "LibriSpeech")
    return _read(root, prefix, LIBRISPEECH.require(root / "SPEAKERS.TXT"), _chapter_texts())


def _read_libritts(root: Path, prefix: str) -> Iterator[Recording]:
    root = unpacked(root, "LibriTTS")
    return _read(root, prefix, LIBRITTS.require(root / "SPEAKERS.txt", root / "speakers.tsv"), _normalized_text)


def _read_libritts_r(root: Path, prefix: str) -> Iterator[Recording]:
    root = unpacked(root, "LibriTTS_R")
    return _read(root, prefix, LIBRITTS_R.require(root / "SPEAKERS.txt", root / "speakers.tsv"), _normalized_text)


def _read(root: Path, prefix: str, table: Path, text_of: Callable[[Path], str]) -> Iterator[Recording]:
    sexes = _sexes(table)
    for path in audio_files(root, 4, 4):
        subset, speaker, _ = path.relative_to(root).parts[:3]
        yield Recording(
            path=path,
            utterance_id=utterance_id(path, root),
            speaker=f"{prefix}-{speaker}",
            sex=sexes.get(speaker, "unknown"),
            text_id=f"{prefix}-{path.stem}",
            text=text_of(path),
            split=_SPLITS.get(subset.split("-")[0]),
        )


def _sexes(table: Path) -> dict[str, str]:
    # Names hold the separators, and the head of speakers.tsv has fewer tabs than its rows: only the first two count.
    separator = "\t" if table.suffix == ".tsv" else "|"
    sexes = {}
    for line in read_text(table).splitlines():
        fields = [field.strip() for field in line.split(separator)]
        if len(fields) > 1 and fields[0].isdigit():
            sexes[fields[0]] = sex_named(fields[1])
    return sexes


def _chapter_texts() -> Callable[[Path], str]:
    chapters: dict[Path, dict[str, str]] = {}

    def text_of(path: Path) -> str:
        if path.parent not in chapters:
            chapters.clear()  # Files come chapter by chapter, so one is enough.
            chapters[path.parent] = _chapter(path.parent)
        return chapters[path.parent].get(path.stem, "")

    return text_of


def _chapter(folder: Path) -> dict[str, str]:
    lines = (line for file in sorted(folder.glob("*.trans.txt")) for line in read_text(file).splitlines())
    return dict(line.split(" ", 1) for line in lines if " " in line)


def _normalized_text(path: Path) -> str:
    file = path.with_name(f"{path.stem}.normalized.txt")
    return read_text(file).strip() if file.is_file() else ""


LIBRISPEECH = Corpus(
    "librispeech",
    "CC BY 4.0",
    "expected SPEAKERS.TXT and SUBSET/SPEAKER/CHAPTER/*.flac from https://www.openslr.org/12",
    _read_librispeech,
)
LIBRITTS = Corpus(
    "libritts",
    "CC BY 4.0",
    "expected SPEAKERS.txt and SUBSET/SPEAKER/CHAPTER/*.wav from https://www.openslr.org/60",
    _read_libritts,
)
LIBRITTS_R = Corpus(
    "libritts_r",
    "CC BY 4.0",
    "expected speakers.tsv of doc.tar.gz and SUBSET/SPEAKER/CHAPTER/*.wav from https://www.openslr.org/141",
    _read_libritts_r,
)
