"""Recordings of one's own: folders by speaker and emotion, or a CSV that lists them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evc_jax.data.corpora.base import Corpus
from evc_jax.data.corpora.recording import Recording, audio_files, emotion_named, sex_named, utterance_id
from evc_jax.data.corpora.tables import read_csv
from evc_jax.errors import DataError
from evc_jax.files import existing, printable

_LICENCE = "as the owner of the recordings states"
_COLUMNS = ("path", "speaker", "sex", "emotion", "text")


def _read_folder(root: Path, prefix: str) -> Iterator[Recording]:
    for path in audio_files(root, 3):
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
        raise DataError(f"{printable(table)} is not a file; expected a CSV with the columns {', '.join(_COLUMNS)}.")
    for line, row in read_csv(table, ("path", "speaker"), f"expected the columns {', '.join(_COLUMNS)}"):
        if not row["path"] or not row["speaker"]:
            raise DataError(f"{printable(table)}, line {line}: a row without path or speaker; fill in both.")
        yield _manifest_recording(row, table.parent, prefix)


def _manifest_recording(row: dict[str, str], folder: Path, prefix: str) -> Recording:
    return Recording(
        path=existing(folder / row["path"]),
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
