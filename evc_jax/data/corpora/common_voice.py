"""Common Voice: volunteers read sentences and vote on each other's recordings (Ardila et al., 2020), one language.

`clips/*.mp3` hold the recordings; `validated.tsv` lists those that were voted good, `dev.tsv` and `test.tsv` the
official parts of it, which share no speaker with `train.tsv` or each other. Rows whose clip is not there are passed
over, so a part of a release reads too; `other.tsv` and `invalidated.tsv`, not voted good, are left out.

NOTE: "train" is what `validated.tsv` holds of speakers who are not in `dev.tsv` or `test.tsv`: all of `train.tsv`,
which has each sentence once, and the further recordings of its sentences.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from evc_jax.data.corpora.recording import Corpus, Recording, sentence_id, sex_named
from evc_jax.data.corpora.tables import read_text
from evc_jax.errors import DataError
from evc_jax.files import RECORDING_SUFFIXES, printable

_PARTS = {"dev.tsv": "validation", "test.tsv": "test"}
_REQUIRED_COLUMNS = ("client_id", "path", "sentence")


def _read(root: Path, prefix: str) -> Iterator[Recording]:
    root = _language_folder(root)
    folder = CORPUS.require(root / "clips")
    tables = {root / name: split for name, split in _PARTS.items() if (root / name).is_file()}
    training = CORPUS.require(root / "validated.tsv", root / "train.tsv")
    sexes = _sexes([*tables, training])
    # Each name leaves the set with its recording, so no clip is read twice.
    clips = {path.name for path in folder.iterdir()}
    held_out = set()
    for table, split in tables.items():
        for row in _rows(table):
            held_out.add(row["client_id"])
            yield from _recording(row, folder, clips, sexes, prefix, split)
    for row in _rows(training):
        if row["client_id"] not in held_out:
            yield from _recording(row, folder, clips, sexes, prefix, "train")


def _language_folder(root: Path) -> Path:
    """The folder with the tables: `root`, or the only language of a release (`cv-corpus-17.0-2024-03-15/en`)."""
    if (root / "clips").is_dir():
        return root
    languages = sorted(path.parent for pattern in ("*/clips", "*/*/clips") for path in root.glob(pattern))
    if len(languages) > 1:
        names = ", ".join(path.name for path in languages)
        raise DataError(f"{root} holds {len(languages)} languages of common_voice ({names}); give the folder of one.")
    return languages[0] if languages else root


def _sexes(tables: list[Path]) -> dict[str, str]:
    """The sex of each client: given in some rows only, and not always the same; then it is unknown."""
    given: dict[str, set[str]] = {}
    for table in tables:
        for row in _rows(table):
            given.setdefault(row["client_id"], set()).add(sex_named(row.get("gender", "")))
    sexes = {client: names - {"unknown"} for client, names in given.items()}
    return {client: names.pop() if len(names) == 1 else "unknown" for client, names in sexes.items()}


def _rows(table: Path) -> Iterator[dict[str, str]]:
    # No CSV reader: quotation marks are text and need not pair up.
    lines = (line.rstrip("\r\n").split("\t") for line in io.StringIO(read_text(table), newline="\n"))
    columns = next(lines, [])
    absent = [name for name in _REQUIRED_COLUMNS if name not in columns]
    if absent:
        raise DataError(f"{printable(table)} has no column {' or '.join(absent)}; {CORPUS.source}.")
    for fields in lines:
        # A tab or line break inside a sentence breaks its row.
        if len(fields) == len(columns):
            yield dict(zip(columns, fields, strict=True))


def _recording(
    row: dict[str, str], folder: Path, clips: set[str], sexes: dict[str, str], prefix: str, split: str
) -> Iterator[Recording]:
    # Early releases give names without suffix; converted copies have another one.
    stem = row["path"].removesuffix(".mp3")
    name = next((stem + suffix for suffix in (".mp3", *RECORDING_SUFFIXES) if stem + suffix in clips), None)
    if name is None:
        return
    clips.remove(name)
    text = _unquoted(row["sentence"])
    known = row.get("sentence_id")
    yield Recording(
        path=folder / name,
        utterance_id=stem,
        speaker=f"{prefix}-{row['client_id']}",
        sex=sexes[row["client_id"]],
        text_id=f"{prefix}-{known}" if known else sentence_id(prefix, text),
        text=text,
        split=split,
    )


def _unquoted(sentence: str) -> str:
    # Some releases quote sentences that hold quotation marks, as a CSV would.
    inner = sentence[1:-1]
    if len(sentence) > 1 and sentence[0] == sentence[-1] == '"' and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"').strip()
    return sentence.strip()


CORPUS = Corpus(
    "common_voice",
    "CC0 1.0",
    "expected clips/*.mp3, validated.tsv, dev.tsv and test.tsv of one language from"
    " https://commonvoice.mozilla.org/datasets",
    _read,
)
