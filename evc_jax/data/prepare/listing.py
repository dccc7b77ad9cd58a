"""Listing a corpus for the plan, on a local disk or in a bucket."""

from __future__ import annotations

import dataclasses
import os
import posixpath
from pathlib import Path

from etils import epath

from evc_jax.data.corpora import passed_over, read_corpus
from evc_jax.data.corpora.recording import Recording
from evc_jax.data.prepare import storage
from evc_jax.data.prepare.splits import assign_splits
from evc_jax.errors import DataError

# What readers of corpora open; of all other files they look at the name only.
_METADATA_SUFFIXES = (".txt", ".tsv", ".csv", ".json", ".lab")


@dataclasses.dataclass(frozen=True)
class CorpusListing:
    """A corpus in the plan's terms: the folder, its recordings ordered by id, and lines on what else is in it."""

    root: str
    utterances: list[Recording]
    passed_over: tuple[str, ...]


def list_corpus(name: str, source: epath.PathLike, prefix: str) -> CorpusListing:
    """Reads a corpus as `corpora.read_corpus` does, with splits, and when each recording was changed last."""
    if storage.is_remote(source):
        return _list_remote(name, os.fspath(source), prefix)
    recordings = assign_splits(read_corpus(name, Path(source), prefix))
    utterances = [dataclasses.replace(recording, stamp=_local_stamp(recording.path)) for recording in recordings]
    root = Path(source)
    return CorpusListing(str(root if root.is_dir() else root.parent), utterances, tuple(passed_over(root, recordings)))


def _local_stamp(path: os.PathLike) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"


def _list_remote(name: str, source: str, prefix: str) -> CorpusListing:
    """The listing of a local tree with a bucket folder's names, in which only metadata files hold anything."""
    files = storage.bucket(source)
    address = posixpath.dirname(source) if files.isfile(source) else source.rstrip("/")
    with storage.temporary_folder() as folder:
        root = folder / posixpath.basename(address)  # readers may look at the folder's own name, too
        stamps = _mirror(address, root)
        corpus = root / posixpath.relpath(source, address)
        try:
            recordings = assign_splits(read_corpus(name, corpus, prefix))
        except DataError as error:
            raise DataError(str(error).replace(str(root), address)) from error
        utterances = []
        for recording in recordings:
            place = recording.path.relative_to(root).as_posix()
            there, stamp = epath.Path(posixpath.join(address, place)), stamps.get(place, "missing")
            utterances.append(dataclasses.replace(recording, path=there, stamp=stamp))
        return CorpusListing(address, utterances, tuple(passed_over(corpus, recordings)))


def _mirror(address: str, root: Path) -> dict[str, str]:
    """Makes the tree; returns by a file's place in it what changes when the file in the bucket does."""
    files = storage.bucket(address)
    top = files._strip_protocol(address)
    found = {posixpath.relpath(path, top): info for path, info in files.find(top, detail=True).items()}
    # An object may have any name, also one that leads out of the tree.
    stamps = {place: _remote_stamp(info) for place, info in found.items() if ".." not in place.split("/")}

    def mirror(place: str) -> None:
        local = root / place
        local.parent.mkdir(parents=True, exist_ok=True)
        if local.suffix.lower() in _METADATA_SUFFIXES:
            epath.Path(posixpath.join(address, place)).copy(local)
        else:
            local.touch()

    storage.all_at_once(mirror, stamps)
    return stamps


def _remote_stamp(info: dict) -> str:
    changed = next((info[key] for key in ("generation", "etag", "ETag", "mtime", "LastModified") if info.get(key)), "")
    return f"{info.get('size')} {changed}"
