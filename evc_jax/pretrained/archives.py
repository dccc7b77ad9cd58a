"""Bundles in archives from anywhere: nothing is written outside the folder, no links, and no more than a bound."""

from __future__ import annotations

import contextlib
import gzip
import lzma
import stat
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from evc_jax.errors import BundleError, one_line
from evc_jax.files import printable
from evc_jax.pretrained.checksums import is_inside
from evc_jax.pretrained.description import DESCRIPTION_FILE

SUFFIXES = (".zip", ".tar.gz", ".tgz", ".tar.xz", ".tar")
MAX_BYTES, MAX_FILES = 8_000_000_000, 10_000
_BLOCK_BYTES = 1 << 20
# A RuntimeError where a ZIP file is encrypted, the last two where a name is that of a file and of a folder.
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError),
    *(NotADirectoryError, FileExistsError, IsADirectoryError),
)


class Entry(NamedTuple):
    """A file of an archive or of a folder that is fetched."""

    name: str
    open: Callable[[], IO[bytes]]


def is_archive(name: str) -> bool:
    """Whether a file of this name is read as an archive."""
    return name.lower().endswith(SUFFIXES)


def extract_bundle(archive: Path, folder: Path, where: object) -> None:
    """Writes the bundle that an archive holds, at its top or in its only folder, into a folder.

    Args:
      archive: a file with one of `SUFFIXES`, or any name if it begins like a ZIP file.
      folder: which exists.
      where: the archive comes from, for the message.

    Raises:
      BundleError: it is damaged or too large, or has links or files that would lie outside the folder.
    """
    try:
        allowance = Allowance(where)
        with _entries(archive, where, allowance) as entries:
            root = _root([entry.name for entry in entries], where)
            for entry in entries:
                if entry.name.startswith(root):
                    with entry.open() as opened:
                        write_file(opened.read, folder / entry.name[len(root) :], allowance)
    except _BROKEN as error:
        raise BundleError(f"The archive {where} cannot be read ({one_line(error)}); fetch it again.") from error


class Allowance:
    """How many bytes may still come from a place, for all threads together."""

    def __init__(self, where: object):
        self._where, self._left, self._lock = where, MAX_BYTES, threading.Lock()

    def spend(self, count: int) -> None:
        """Raises BundleError where that is too much."""
        with self._lock:
            self._left -= count
        if self._left < 0:
            raise BundleError(
                f"{self._where} holds more than the {MAX_BYTES / 1e9:g} GB that a bundle may have; give a bundle."
            )


def write_file(read: Callable[[int], bytes], path: Path, allowance: Allowance) -> int:
    """Writes what `read` gives until it gives nothing; returns the number of bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with path.open("wb") as target:
        while block := read(_BLOCK_BYTES):
            allowance.spend(len(block))
            size += target.write(block)
    return size


@contextlib.contextmanager
def _entries(archive: Path, where: object, allowance: Allowance) -> Iterator[list[Entry]]:
    """The files of an archive, all of whose names are inside; behind the block its end is checked, too."""
    tar = None
    with contextlib.ExitStack() as stack:
        if zipfile.is_zipfile(archive):
            opened = stack.enter_context(zipfile.ZipFile(archive))
            files, others = _of_zip(opened)
        else:
            tar = stack.enter_context(tarfile.open(archive))
            files, others = _of_tar(tar, where)
        outside = [entry.name for entry in files if not is_inside(entry.name)]
        if unsafe := [*others, *outside]:
            raise BundleError(
                f"The archive {where} has {printable(unsafe[0])}, which is a link or lies outside of it; pack the "
                "bundle's folder again, without links."
            )
        if len(files) > MAX_FILES:
            raise BundleError(f"The archive {where} has more than {MAX_FILES} files; give a bundle.")
        yield files
        while tar is not None and tar.fileobj is not None and (rest := tar.fileobj.read(_BLOCK_BYTES)):
            allowance.spend(len(rest))  # behind it is the checksum of what is compressed


def _of_zip(archive: zipfile.ZipFile) -> tuple[list[Entry], list[str]]:
    """Its files, and the names of what is neither file nor folder."""
    files, others = [], []
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            others.append(info.filename)
        elif not info.is_dir():
            files.append(Entry(info.filename, lambda info=info: archive.open(info)))  # type: ignore[misc]
    return files, others


def _of_tar(archive: tarfile.TarFile, where: object) -> tuple[list[Entry], list[str]]:
    files, others, declared = [], [], Allowance(where)
    for info in archive:
        declared.spend(info.size)  # before the next one is searched for behind it
        if info.isfile():
            name = info.name.removeprefix("./")
            files.append(Entry(name, lambda info=info: archive.extractfile(info)))  # type: ignore[misc, arg-type]
        elif not info.isdir():
            others.append(info.name)
        if len(files) > MAX_FILES:
            break
    return files, others


def _root(names: list[str], where: object) -> str:
    """What the names of the bundle's files begin with: nothing, or a folder and /."""
    roots = {name.removesuffix(DESCRIPTION_FILE) for name in names if name.split("/")[-1] == DESCRIPTION_FILE}
    if "" in roots:
        return ""
    near = [root for root in roots if root.count("/") == 1]
    if len(near) != 1:
        raise BundleError(
            f"The archive {where} has no {DESCRIPTION_FILE} at its top or in one folder; pack what `evc bundle` wrote."
        )
    return near[0]
