"""Emotion tracks in files: CSV tables, Praat's TextGrid, label tracks of Audacity, JSON, known by their content."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from evc_jax.conversion.emotion_track import EmotionTrack
from evc_jax.data.corpora.tables import decode_text, rows_of_csv
from evc_jax.errors import ConfigError, DataError, one_line
from evc_jax.files import printable

_EXPECTED = "give a CSV table with the columns start_s, end_s, emotion and strength, a TextGrid, or Audacity's labels"
_TIER = "emotion"
_MAX_BYTES = 16 * 2**20


def read_track(source: str | os.PathLike | bytes, name: str = "the emotion track") -> EmotionTrack:
    """Reads an emotion track.

    - CSV with a head: start_s, end_s, emotion and, optionally, strength.
    - A TextGrid (long or short): its only interval tier, or the one named "emotion"; labels are emotions.
    - Labels of Audacity: start, end and label with tabs between them. Rows of spectral selections are passed over.
    - JSON: a list of objects with the columns of the CSV.

    Args:
      source: path of a file, or its content.
      name: of the content in messages.

    Raises:
      ConfigError: it is none of these, or it holds a row that cannot be used; the message names the file.
    """
    if not isinstance(source, bytes):
        name = printable(Path(source))
        source = _content(Path(source))
    try:
        text = decode_text(source, name)
        if "ooTextFile" in text[:200]:
            rows: Iterable[dict[str, Any]] = _textgrid_rows(text)
        elif text.lstrip().startswith("["):
            rows = _json_rows(text)
        elif "\t" in text and "start_s" not in text.partition("\n")[0]:
            rows = _label_rows(text)
        else:
            columns = ("start_s", "end_s", "emotion")
            rows = [row for _, row in rows_of_csv(text, name, columns, _EXPECTED)]
        track = EmotionTrack.from_rows(rows)
    except DataError as error:
        raise ConfigError(str(error)) from error
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
    if not track.spans:
        raise ConfigError(f"{name} holds no emotion; {_EXPECTED}.")
    return track


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= _MAX_BYTES else b""
    except (OSError, ValueError) as error:  # a name that no file can have is a ValueError
        reason = (isinstance(error, OSError) and error.strerror) or one_line(error)
        raise ConfigError(f"The emotion track {printable(path)} cannot be read ({reason}); give another.") from error
    if size > _MAX_BYTES:
        raise ConfigError(f"{printable(path)} is no emotion track, it is too large; {_EXPECTED}.")
    return content


def _json_rows(text: str) -> list[Any]:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"it is no JSON ({one_line(error)}); {_EXPECTED}.") from error


def _label_rows(text: str) -> Iterator[dict[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("\\") or not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != 3:
            raise ConfigError(
                f"line {number} has {len(fields)} fields with tabs between them, Audacity's labels have 3."
            )
        yield dict(zip(("start_s", "end_s", "emotion"), (field.strip() for field in fields), strict=True))


def _textgrid_rows(text: str) -> list[dict[str, Any]]:
    from praatio.utilities.textgrid_io import parseTextgridStr

    try:
        tiers = [tier for tier in parseTextgridStr(text)["tiers"] if tier["class"] == "IntervalTier"]
        entries = {str(tier["name"]): [tuple(entry) for entry in tier["entries"]] for tier in tiers}
    except Exception as error:  # the parser raises errors of any kind for a damaged file
        raise ConfigError(f"the TextGrid is damaged ({one_line(error)}); save it again.") from error
    named = [name for name in entries if name.strip().lower() == _TIER]
    if not named and len(entries) != 1:
        found = ", ".join(map(repr, entries)) or "none"
        raise ConfigError(f"no interval tier is named {_TIER!r} (there are: {found}); name the one with emotions so.")
    chosen = entries[named[0] if named else next(iter(entries))]
    return [dict(zip(("start_s", "end_s", "emotion"), entry, strict=True)) for entry in chosen]
