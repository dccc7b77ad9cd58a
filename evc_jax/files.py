"""Files and folders: finding recordings, names that are not valid text, and outputs that are whole or not there."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import hashlib
import os
import re
import shutil
import unicodedata
import uuid
from collections.abc import Iterator
from pathlib import Path

from evc_jax.errors import ConfigError

ASSETS = Path(__file__).resolve().parent / "assets"

# What `audio.decoding` reads, and what is looked for inside a folder; a file that is named itself is always tried.
RECORDING_SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".aifc"),
    *(".au", ".snd", ".caf", ".w64", ".rf64", ".sph"),
    # By way of FFmpeg; of a video its audio track.
    *(".m4a", ".m4b", ".aac", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".webm", ".mka", ".mkv", ".wma", ".wmv", ".amr"),
    *(".ac3", ".alac", ".ape", ".dsf", ".dts", ".mpc", ".ra", ".spx", ".tak", ".tta", ".wv"),
)
RECORDING_KINDS = "WAV, FLAC, MP3, OGG, M4A, WebM or other"
# Recordings that are encrypted: a search reports them.
UNREAD_SUFFIXES = (".aa", ".aax", ".m4p", ".ds2")
UNREAD_FORMAT, BROKEN_LINK, UNREAD_FOLDER = "format that is not read", "broken link", "folder without permission"
_NAMED_FILES = 3
# Half of a pair in UTF-16, as JSON may hold it; between them are the stand-ins for bytes that are no UTF-8.
_HALF_CHARACTERS = re.compile("[\ud800-\udc7f\udd00-\udfff]")


@dataclasses.dataclass(frozen=True)
class FoundRecordings:
    """The recordings of a folder, and what looks like recordings but cannot be read, with the reason; both sorted."""

    files: tuple[Path, ...]
    passed_over: dict[Path, str]


def find_recordings(folder: str | os.PathLike, depth: int = 1, max_depth: int | None = None) -> FoundRecordings:
    """Searches a folder for recordings. Symbolic links are followed; a file that is reached twice counts once.

    Args:
      folder: where to search; hidden files are left out, such as the `._name.wav` of archives made on macOS.
      depth: a recording's name and the folders above it, up to `folder`, are at least so many; 1 is in the folder
        itself.
      max_depth: they are at most so many; None for any number.
    """
    found: list[tuple[bool, str, Path]] = []
    passed_over: dict[Path, str] = {}
    for level, place, real_place, names in _walk(os.fspath(folder), max_depth, passed_over):
        for name in names if level >= depth else ():
            suffix = os.path.splitext(name)[1].lower()
            file = os.path.join(place, name)
            if suffix in UNREAD_SUFFIXES:
                passed_over[Path(file)] = UNREAD_FORMAT
            if suffix not in RECORDING_SUFFIXES:
                continue
            linked = os.path.islink(file)
            if os.path.isfile(file):
                found.append((linked, os.path.realpath(file) if linked else os.path.join(real_place, name), Path(file)))
            elif linked:
                passed_over[Path(file)] = BROKEN_LINK
    # Files before links to them.
    by_place: dict[str, Path] = {}
    for _, real, recording in sorted(found):
        by_place.setdefault(real, recording)
    return FoundRecordings(tuple(sorted(by_place.values())), dict(sorted(passed_over.items())))


def _walk(top: str, max_depth: int | None, passed_over: dict[Path, str]) -> Iterator[tuple[int, str, str, list[str]]]:
    """(depth of the files, folder, its real path, names of its files) of every folder once."""
    seen: set[str] = set()

    def refuse(error: OSError) -> None:
        if error.errno in (errno.EACCES, errno.EPERM):
            passed_over[Path(error.filename)] = UNREAD_FOLDER

    for place, folders, names in os.walk(top, followlinks=True, onerror=refuse):
        level = 1 if place == top else os.path.relpath(place, top).count(os.sep) + 2
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        if level == max_depth:
            folders.clear()
        yield level, place, real, [name for name in names if not name.startswith(".")]


def recordings_in(folder: str | os.PathLike) -> list[Path]:
    """The recordings that `find_recordings` finds in a folder at any depth.

    Raises:
      ConfigError: there are none.
    """
    found = find_recordings(folder)
    if not found.files:
        also = "".join(f"; {line}" for line in passed_over_lines(found.passed_over, Path(folder)))
        raise ConfigError(
            f"The folder {printable(folder)} holds no recordings ({', '.join(RECORDING_SUFFIXES)}){also}; give another."
        )
    return list(found.files)


def passed_over_lines(passed_over: dict[Path, str], folder: Path) -> list[str]:
    """One line for each reason: how many files were passed over, and the first of them."""
    lines = []
    for reason in sorted(set(passed_over.values())):
        files = [file for file, other in passed_over.items() if other == reason]
        names = [printable(file.relative_to(folder) if file != folder else file) for file in files[:_NAMED_FILES]]
        more = ", ..." if len(files) > _NAMED_FILES else ""
        lines.append(f"passed over: {len(files)} ({reason}: {', '.join(names)}{more})")
    return lines


def printable(name: str | os.PathLike) -> str:
    """A file's name for messages: bytes that are not UTF-8, and half characters, become replacement characters."""
    text = _HALF_CHARACTERS.sub("\N{REPLACEMENT CHARACTER}", os.fspath(name))
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def valid_text(name: str) -> str:
    """A name that can be stored as UTF-8; a hash of the name's bytes keeps replaced ones unique."""
    shown = printable(name)
    return name if shown == name else f"{shown}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"


def existing(path: Path) -> Path:
    """The path, or the existing one that differs from it in the Unicode normalization of its names only.

    macOS and archives made there write accents as combining marks (NFD) where others write one character (NFC).
    """
    if path.parent == path or os.path.lexists(path):
        return path
    parent = existing(path.parent)
    return parent / _names_by_nfc(parent).get(unicodedata.normalize("NFC", path.name), path.name)


@functools.lru_cache(maxsize=64)
def _names_by_nfc(folder: Path) -> dict[str, str]:
    try:
        return {unicodedata.normalize("NFC", name): name for name in sorted(os.listdir(folder))}
    except OSError:
        return {}


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[Path]:
    """Gives the path of a new file to write, which takes the place of `path` once the block has ended well.

    A file that is replaced keeps its permissions; a link stays, and what it points to is replaced.
    """
    path = Path(os.path.realpath(path))
    beside = _beside(path)
    try:
        yield beside
        if path.exists():
            shutil.copymode(path, beside)
        os.replace(beside, path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


@contextlib.contextmanager
def atomic_dir(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a new folder to fill, which takes the place of whatever is at `path` once the block has ended well."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _beside(path)
    try:
        partial.mkdir()
        yield partial
        replace_dir(partial, path, _beside(path))
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def replace_dir(new: Path, path: Path, old: Path) -> None:
    """Moves the folder `new` to `path`; what was there waits in `old` until that is done."""
    replaced = path.exists()
    if replaced:
        path.rename(old)
    try:
        new.rename(path)
    except OSError:
        if replaced:
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{uuid.uuid4().hex}")
