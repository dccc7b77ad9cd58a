"""Files of a dataset in the making, on a local disk or in a bucket (`gs://`): written whole or not at all."""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec
from etils import epath
from etils.epath import backend

from evc_jax import files
from evc_jax.errors import DataError, one_line

# Requests that are under way at once: a bucket answers each after some 50 ms, however many there are.
REQUESTS = 32


def is_remote(path: epath.PathLike) -> bool:
    """Whether the path names something in a bucket."""
    return "://" in os.fspath(path)


def bucket(path: epath.PathLike) -> fsspec.AbstractFileSystem:
    """The file system behind a path in a bucket."""
    return backend.fsspec_backend.fs(os.fspath(path))


def check_reachable(path: epath.PathLike) -> None:
    """Raises DataError for a bucket that does not answer, or whose package is missing; a local path passes."""
    if not is_remote(path):
        return
    # It logs each retry with a traceback.
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    try:
        epath.Path(path).exists()
    except ImportError as error:
        raise DataError(f"{path} needs a package that is not there ({str(error).rstrip('.')}).") from error
    except Exception as error:  # each kind of bucket has errors of its own
        raise DataError(f"{path} cannot be reached ({error}); check its name and your access to it.") from error


@contextlib.contextmanager
def atomic_file(path: epath.PathLike) -> Iterator[Path]:
    """Does what `files.atomic_file` does, in a bucket too."""
    if not is_remote(path):
        with files.atomic_file(path) as local:
            yield local
        return
    with temporary_folder() as folder:
        local = folder / "file"
        yield local
        epath.Path(local).copy(path, overwrite=True)


@contextlib.contextmanager
def local_copy(path: epath.PathLike) -> Iterator[Path]:
    """Gives a local file that holds what lies at `path`: the file itself where it is local."""
    if not is_remote(path):
        yield Path(path)
        return
    with temporary_folder() as folder:
        # Libraries recognise formats by the suffix.
        local = folder / f"file{epath.Path(path).suffix}"
        epath.Path(path).copy(local)
        yield local


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder for what goes to a bucket or comes from one; raises DataError where there is none or it is full."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="evc-")
    except OSError as error:
        raise DataError(f"No temporary file can be written ({one_line(error)}); set TMPDIR to a folder.") from error
    with folder as name:
        try:
            yield Path(name)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DataError(f"The folder of temporary files, {name}, is full; set TMPDIR to another.") from error


def make_folder(path: epath.PathLike) -> epath.Path:
    """The folder, made where there is none; buckets have no folders."""
    if not is_remote(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    return epath.Path(path)


def remove_folder(path: epath.PathLike) -> None:
    """Removes a folder and all in it, if it is there."""
    if is_remote(path):
        if epath.Path(path).exists():
            epath.Path(path).rmtree()
    else:
        shutil.rmtree(path, ignore_errors=True)


def remove_unfinished(folder: epath.PathLike) -> None:
    """Removes what `atomic_file` leaves on a disk, at any depth of a folder, when its process is killed."""
    if not is_remote(folder):
        for file in Path(folder).rglob(".*"):
            file.unlink(missing_ok=True)


def file_names(folder: epath.PathLike) -> set[str]:
    """The names in a folder, none where it is missing."""
    folder = epath.Path(folder)
    if is_remote(folder):
        # What other processes write does not reach this one's listings.
        bucket(folder).invalidate_cache()
    return {child.name for child in folder.iterdir()} if folder.exists() else set()


def all_at_once(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    """The results of many small requests, in the items' order."""
    with concurrent.futures.ThreadPoolExecutor(REQUESTS) as threads:
        return list(threads.map(function, items))


@contextlib.contextmanager
def locked(folder: epath.Path, message: str) -> Iterator[None]:
    """Keeps other processes out of an existing folder; raises DataError with `message` where one is in it.

    NOTE: a bucket has no locks, so nothing is kept out of one.
    """
    if is_remote(folder):
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            # The system releases the lock with the process, however that ends.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(message) from error
        yield
    finally:
        os.close(handle)


def put_in_place(new: epath.Path, target: epath.Path, old: epath.Path, last: str) -> None:
    """Moves the folder `new` to `target`, whose earlier content is removed.

    On a disk that is a rename, see `files.replace_dir`. NOTE: a bucket cannot rename a folder; there the file named
    `last`, without which no reader takes the folder for a dataset, is removed first and written last.
    """
    if not is_remote(target):
        make_folder(target.parent)
        files.replace_dir(Path(new), Path(target), Path(old))
        return
    (target / last).unlink(missing_ok=True)
    names = file_names(new) - {last}
    all_at_once(lambda name: (target / name).unlink(missing_ok=True), file_names(target))
    all_at_once(lambda name: _move_object(new / name, target / name), sorted(names))
    _move_object(new / last, target / last)


def undo_interrupted_move(target: epath.Path, old: epath.Path) -> None:
    """Puts back what `put_in_place` had taken away when it was killed; else removes what it left."""
    if not is_remote(target) and old.exists() and not target.exists():
        old.rename(target)
    remove_folder(old)


def _move_object(source: epath.Path, target: epath.Path) -> None:
    # Not epath's rename, which asks for an existing folder.
    bucket(source).mv(os.fspath(source), os.fspath(target))
