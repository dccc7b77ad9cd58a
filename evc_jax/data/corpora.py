"""Readers of speech corpora in the layouts of their public releases.

A reader looks at names and metadata files only; no audio is opened here. `.wav`, `.flac`, `.mp3` and `.ogg` are
taken alike, so copies converted to another container read as the original does.
"""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from evc_jax.data.recordings import (
    EMOTIONS,
    SEXES,
    Recording,
    audio_files,
    emotion_named,
    require_unique,
    sex_named,
    utterance_id,
)
from evc_jax.errors import DataError

__all__ = ["CORPORA", "EMOTIONS", "SEXES", "Corpus", "Recording", "read_corpus"]


@dataclasses.dataclass(frozen=True)
class Corpus:
    """What is known of a corpus before it is read.

    Attributes:
      name: how it is asked for.
      licence: of the recordings, as its publisher states it.
      source: where it is to be had, or how it is to be laid out.
      read: (root, prefix of speaker and text ids) -> recordings in any order.
    """

    name: str
    licence: str
    source: str
    read: Callable[[Path, str], Iterator[Recording]]


def read_corpus(name: str, path: str | Path, prefix: str | None = None) -> list[Recording]:
    """Lists the recordings of a corpus, ordered by utterance id.

    Args:
      name: a key of `CORPORA`.
      path: the corpus's root folder; for "manifest" the CSV file.
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


_RAVDESS_NAME = re.compile(r"03-01-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)")
_RAVDESS_EMOTIONS = dict(
    zip(
        ("01", "02", "03", "04", "05", "06", "07", "08"),
        ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"),
        strict=True,
    )
)
_RAVDESS_TEXTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}


def _read_ravdess(root: Path, prefix: str) -> Iterator[Recording]:
    # 03-01 is audio-only speech; the release's songs (03-02) and videos (01-, 02-) may lie beside it.
    for path in audio_files(root):
        match = _RAVDESS_NAME.fullmatch(path.stem)
        if not match or match[1] not in _RAVDESS_EMOTIONS:
            continue
        emotion, intensity, sentence, _, actor = match.groups()
        strength = "strong" if intensity == "02" else "normal"
        yield Recording(
            path=path,
            # The archive unpacks with or without a folder above the actors.
            utterance_id=f"Actor_{actor}/{path.stem}",
            speaker=f"{prefix}-{actor}",
            sex="male" if int(actor) % 2 else "female",
            emotion=_RAVDESS_EMOTIONS[emotion],
            corpus_emotion=f"{_RAVDESS_EMOTIONS[emotion]}-{strength}",
            text_id=f"{prefix}-{sentence}",
            text=_RAVDESS_TEXTS.get(sentence, ""),
        )


_EMODB_NAME = re.compile(r"(\d\d)([ab]\d\d)([NFTWAEL])([a-z])")
_EMODB_MEN = ("03", "10", "11", "12", "15")
_EMODB_EMOTIONS = {
    "N": ("neutral", "neutral"),
    "F": ("happy", "Freude"),
    "T": ("sad", "Trauer"),
    "W": ("angry", "Ärger"),
    "A": ("fearful", "Angst"),
    "E": ("disgust", "Ekel"),
    "L": ("bored", "Langeweile"),
}
_EMODB_TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}


def _read_emodb(root: Path, prefix: str) -> Iterator[Recording]:
    for path in audio_files(root):
        match = _EMODB_NAME.fullmatch(path.stem)
        if not match:
            continue
        speaker, text, letter, _ = match.groups()
        emotion, corpus_emotion = _EMODB_EMOTIONS[letter]
        yield Recording(
            path=path,
            utterance_id=path.stem,
            speaker=f"{prefix}-{speaker}",
            sex="male" if speaker in _EMODB_MEN else "female",
            emotion=emotion,
            corpus_emotion=corpus_emotion,
            text_id=f"{prefix}-{text}",
            text=_EMODB_TEXTS.get(text, ""),
        )


def _read_librispeech(root: Path, prefix: str) -> Iterator[Recording]:
    if (root / "LibriSpeech").is_dir():
        root = root / "LibriSpeech"
    table = _require(root / "SPEAKERS.TXT", "librispeech")
    sexes = {}
    for line in table.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith(";"):
            reader, sex, *_ = (field.strip() for field in line.split("|"))
            sexes[reader] = sex_named(sex)
    texts: dict[Path, dict[str, str]] = {}
    for path in audio_files(root, "*/*/*/*"):
        subset, speaker, _ = path.relative_to(root).parts[:3]
        if path.parent not in texts:
            texts[path.parent] = _librispeech_texts(path.parent)
        yield Recording(
            path=path,
            utterance_id=utterance_id(path, root),
            speaker=f"{prefix}-{speaker}",
            sex=sexes.get(speaker, "unknown"),
            text_id=f"{prefix}-{path.stem}",
            text=texts[path.parent].get(path.stem, ""),
            split={"train": "train", "dev": "validation", "test": "test"}.get(subset.split("-")[0]),
        )


def _librispeech_texts(chapter: Path) -> dict[str, str]:
    lines = (line for file in sorted(chapter.glob("*.trans.txt")) for line in file.read_text("utf-8").splitlines())
    return dict(line.split(" ", 1) for line in lines if " " in line)


def _read_ljspeech(root: Path, prefix: str) -> Iterator[Recording]:
    if (root / "LJSpeech-1.1").is_dir():
        root = root / "LJSpeech-1.1"
    rows = _require(root / "metadata.csv", "ljspeech").read_text(encoding="utf-8").splitlines()
    # Not a CSV: quotation marks are text, and a bar separates id, text and normalised text.
    texts = {row.split("|")[0]: row.split("|")[-1] for row in rows if "|" in row}
    for path in audio_files(root / "wavs"):
        yield Recording(
            path=path,
            utterance_id=path.stem,
            speaker=f"{prefix}-LJ",
            sex="female",
            text_id=f"{prefix}-{path.stem}",
            text=texts.get(path.stem, ""),
        )


def _read_folder(root: Path, prefix: str) -> Iterator[Recording]:
    for path in audio_files(root, "*/*/**/*"):
        speaker, emotion = path.relative_to(root).parts[:2]
        yield Recording(
            path=path,
            utterance_id=utterance_id(path, root),
            speaker=f"{prefix}-{speaker}",
            emotion=emotion_named(emotion),
            corpus_emotion=emotion,
        )


_MANIFEST_COLUMNS = ("path", "speaker", "sex", "emotion", "text")


def _read_manifest(table: Path, prefix: str) -> Iterator[Recording]:
    if not table.is_file():
        raise DataError(f"{table} is not a file; expected a CSV with the columns {', '.join(_MANIFEST_COLUMNS)}.")
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        absent = [column for column in ("path", "speaker") if column not in (rows.fieldnames or ())]
        if absent:
            raise DataError(
                f"{table} has no column {' or '.join(absent)}; expected the columns {', '.join(_MANIFEST_COLUMNS)}."
            )
        for row in rows:
            yield _manifest_recording({key: (value or "").strip() for key, value in row.items() if key}, table, prefix)


def _manifest_recording(row: dict[str, str], table: Path, prefix: str) -> Recording:
    if not row["path"] or not row["speaker"]:
        raise DataError(f"{table} has a row without path or speaker ({row}); fill in both.")
    return Recording(
        path=table.parent / row["path"],
        utterance_id=Path(row["path"]).with_suffix("").as_posix().lstrip("/"),
        speaker=f"{prefix}-{row['speaker']}",
        sex=sex_named(row.get("sex", "")),
        emotion=emotion_named(row.get("emotion", "")),
        corpus_emotion=row.get("emotion", ""),
        text_id=f"{prefix}-{row['text']}" if row.get("text") else "",
        text=row.get("text", ""),
    )


def _require(path: Path, corpus: str) -> Path:
    if not path.is_file():
        raise DataError(f"{path} is missing, without which {corpus} cannot be read; {CORPORA[corpus].source}.")
    return path


_OWN = "as the owner of the recordings states"

CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            "ravdess",
            "CC BY-NC-SA 4.0",
            "expected Actor_NN/03-01-EE-II-SS-RR-AA.wav from Audio_Speech_Actors_01-24.zip,"
            " https://zenodo.org/records/1188976",
            _read_ravdess,
        ),
        Corpus(
            "emodb",
            "free for research",
            "expected wav/SStttEv.wav from http://emodb.bilderbar.info/download/",
            _read_emodb,
        ),
        Corpus(
            "librispeech",
            "CC BY 4.0",
            "expected SPEAKERS.TXT and SUBSET/SPEAKER/CHAPTER/*.flac from https://www.openslr.org/12",
            _read_librispeech,
        ),
        Corpus(
            "ljspeech",
            "public domain",
            "expected metadata.csv and wavs/LJ*.wav from https://keithito.com/LJ-Speech-Dataset/",
            _read_ljspeech,
        ),
        Corpus("folder", _OWN, "expected SPEAKER/EMOTION/*.wav", _read_folder),
        Corpus("manifest", _OWN, f"expected a CSV with the columns {', '.join(_MANIFEST_COLUMNS)}", _read_manifest),
    )
}
