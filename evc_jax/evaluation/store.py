"""What an evaluation has measured already, so that a second run goes on where the first one ended."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Store:
    """Rows by key in a file of lines of JSON; a line that was cut off by an interruption is measured again."""

    def __init__(self, folder: Path, fingerprint: str):
        """`fingerprint` changes with whatever changes the rows; the rows of another one stay in their own file."""
        self._file = folder / f"measured-{fingerprint}.jsonl"
        self._rows: dict[str, Row] = {}
        self.reused = 0
        text = self._file.read_text() if self._file.exists() else ""
        for line in text.splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                self._rows[entry["key"]] = entry["row"]
        if text and not text.endswith("\n"):
            self._append("")

    def get(self, key: str, measure: Callable[[], Row]) -> Row:
        """The row of a key; measured and written down unless it was before."""
        if key in self._rows:
            self.reused += 1
        else:
            row = measure()
            self._append(json.dumps({"key": key, "row": row}))
            self._rows[key] = row
        return self._rows[key]

    def _append(self, line: str) -> None:
        with self._file.open("a") as file:
            file.write(line + "\n")
