"""Recordings of the user: folders by speaker and emotion, or a CSV that lists them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evc_jax.data.corpora.recording import Corpus, Recording, emotion_named, sex_named, unique_ids
from evc_jax.data.corpora.tables import read_csv
from evc_jax.errors import DataError
from evc_jax.files import existing, find_recordings, printable

_LICENCE = "as the owner of the recordings states"
_COLUMNS = ("path", "speaker", "sex", "emotion", "text")


def _read_folder(root: Path, prefix: str) -> Iterator[Recording]:
    paths = find_recordings(root, 3).files
    names = [path.relative_to(root) for path in paths]
    for path, name, utterance_id in zip(paths, names, unique_ids(names), strict=True):
        speaker, emotion = name.parts[:2]
        yield Recording(
            path=path,
            utterance_id=utterance_id,
            speaker=f"{prefix}-{speaker}",
            emotion=emotion_named(emotion),
            corpus_emotion=emotion,
        )


def _read_manifest(table: Path, prefix: str) -> Iterator[Recording]:
    if not table.is_file():
        raise DataError(f"{printable(table)} is not a file; expected a CSV with the columns {', '.join(_COLUMNS)}.")
    rows = list(read_csv(table, ("path", "speaker"), f"expected the columns {', '.join(_COLUMNS)}"))
    ids = unique_ids(Path(row["path"]) for _, row in rows)
    for (line, row), utterance_id in zip(rows, ids, strict=True):
        if not row["path"] or not row["speaker"]:
            raise DataError(f"{printable(table)}, line {line}: a row without path or speaker; fill in both.")
        yield Recording(
            path=existing(table.parent / row["path"]),
            utterance_id=utterance_id,
            speaker=f"{prefix}-{row['speaker']}",
            sex=sex_named(row.get("sex", "")),
            emotion=emotion_named(row.get("emotion", "")),
            corpus_emotion=row.get("emotion", ""),
            text_id=f"{prefix}-{row['text']}" if row.get("text") else "",
            text=row.get("text", ""),
        )


FOLDER = Corpus("folder", _LICENCE, "expected SPEAKER/EMOTION/*.wav", _read_folder)
MANIFEST = Corpus("manifest", _LICENCE, f"expected a CSV with the columns {', '.join(_COLUMNS)}", _read_manifest)
