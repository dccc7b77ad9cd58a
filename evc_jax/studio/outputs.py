"""Files that the page plays, shows and downloads, by addresses that cannot be guessed."""

from __future__ import annotations

import mimetypes
import secrets
import shutil
import threading
import time
from pathlib import Path
from urllib.parse import quote

ROUTE = "/outputs"


class Outputs:
    """Files in a private folder; those that are old, or too many, are removed when others are added."""

    def __init__(self, folder: Path, keep_s: float, most_bytes: int = 2**31):
        """Files are kept for `keep_s` seconds, and the oldest ones not longer than all fit into `most_bytes`."""
        folder.mkdir()
        self._folder, self._keep_s, self._most_bytes = folder, keep_s, most_bytes
        self._lock = threading.Lock()

    def add(self, name: str, data: bytes | Path) -> str:
        """Keeps data, or moves a file here; returns the path of its URL, which ends with the name."""
        token = secrets.token_urlsafe(16)
        kept = self._folder / token
        if isinstance(data, Path):
            shutil.move(data, kept)
        else:
            kept.write_bytes(data)
        self._remove_old()
        return f"{ROUTE}/{token}/{quote(name, safe='')}"

    def find(self, token: str) -> Path | None:
        """The file of a token; None where there is none, or no longer."""
        kept = self._folder / Path(token).name
        return kept if token and kept.is_file() else None

    def file_of(self, url: str) -> Path | None:
        """The file of what `add` gave."""
        return self.find(url.split("/")[2])

    def _remove_old(self) -> None:
        with self._lock:
            files = []
            for file in self._folder.iterdir():
                status = file.stat()
                files.append((status.st_mtime, status.st_size, file))
            total, now = sum(size for _, size, _ in files), time.time()
            for modified_s, size, file in sorted(files)[:-1]:
                if now - modified_s > self._keep_s or total > self._most_bytes:
                    file.unlink(missing_ok=True)
                    total -= size


def media_type(name: str) -> str:
    """What a browser takes a file of this name for."""
    known = {".wav": "audio/wav", ".flac": "audio/flac", ".json": "application/json", ".zip": "application/zip"}
    return known.get(Path(name).suffix.lower()) or mimetypes.guess_type(name)[0] or "application/octet-stream"
