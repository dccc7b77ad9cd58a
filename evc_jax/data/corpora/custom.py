"""Recordings of one's own: folders by speaker and emotion, or a CSV that lists them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from evc_jax.data.corpora.base import Corpus
from evc_jax.data.corpora.recording import Recording, audio_files, emotion_named, sex_named, utterance_id
from evc_jax.errors import DataError

_LICENCE = "as the owner of the recordings states"
_COLUMNS = ("path", "speaker", "sex", "emotion", "text")


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


def _read_manifest(table: Path, prefix: str) -> Iterator[Recording]:
    if not table.is_file():
        raise DataError(f"{table} is not a file; expected a CSV with the columns {', '.join(_COLUMNS)}.")
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        absent = [column for column in ("path", "speaker") if column not in (rows.fieldnames or ())]
        if absent:
            raise DataError(f"{table} has no column {' or '.join(absent)}; expected the columns {', '.join(_COLUMNS)}.")
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


FOLDER = Corpus("folder", _LICENCE, "expected SPEAKER/EMOTION/*.wav", _read_folder)
MANIFEST = Corpus("manifest", _LICENCE, f"expected a CSV with the columns {', '.join(_COLUMNS)}", _read_manifest)
