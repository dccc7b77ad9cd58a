"""Files that the page plays, shows and downloads, by addresses that cannot be guessed."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

ROUTE = "/outputs"
MOST_BYTES = 2**32
_LOOK_S = 30.0


class Outputs:
    """Files in a private folder, by names that are tokens."""

    def __init__(self, folder: Path):
        """The folder is made."""
        folder.mkdir()
        self._folder = folder

    def add(self, name: str, data: bytes | Path) -> str:
        """Keeps data, or moves a file here; returns the path of its URL, which ends with the name."""
        token = secrets.token_urlsafe(16)
        kept = self._folder / token
        if isinstance(data, Path):
            shutil.move(data, kept)
        else:
            kept.write_bytes(data)
        return f"{ROUTE}/{token}/{quote(name, safe='')}"

    def find(self, token: str) -> Path | None:
        """The file of a token; None where there is none, or no longer."""
        kept = self._folder / Path(token).name
        return kept if token and kept.is_file() else None

    def file_of(self, url: str) -> Path | None:
        """The file of what `add` gave."""
        return self.find(url.split("/")[2])


def remove_old(folder: Path, keep_s: float, most_bytes: float = MOST_BYTES) -> None:
    """Removes what was last used more than `keep_s` seconds ago, and the oldest files until all fit in `most_bytes`."""
    found = []
    for file in folder.rglob("*"):
        with contextlib.suppress(OSError):  # another thread may have removed it
            if file.is_file():
                status = file.stat()
                found.append((max(status.st_mtime, status.st_atime), status.st_size, file))
    total, now = sum(size for _, size, _ in found), time.time()
    for used_s, size, file in sorted(found):
        if now - used_s > keep_s or total > most_bytes:
            file.unlink(missing_ok=True)
            total -= size


@contextlib.contextmanager
def removing_old(folder: Path, keep_s: float) -> Iterator[None]:
    """Removes old files now and then while the block runs."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(min(_LOOK_S, keep_s)):
            remove_old(folder, keep_s)

    thread = threading.Thread(target=watch, name="remove-old", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def media_type(name: str) -> str:
    """What a browser takes a file of this name for. A URL may have any name: nothing is a page with scripts."""
    known = {".wav": "audio/wav", ".json": "application/json", ".zip": "application/zip", ".png": "image/png"}
    return known.get(Path(name).suffix.lower(), "application/octet-stream")
