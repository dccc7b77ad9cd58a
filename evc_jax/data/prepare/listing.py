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
from evc_jax.data.prepare.splits import SplitRules, Splitting, assign_splits
from evc_jax.errors import DataError

# What readers of corpora open; of all other files they look at the name only.
_METADATA_SUFFIXES = (".txt", ".tsv", ".csv", ".json", ".lab")


@dataclasses.dataclass(frozen=True)
class CorpusListing:
    """A corpus in the plan's terms: the folder, its recordings ordered by id, and lines on what else is in it.

    `split_by` and `notes` are those of a `Splitting`.
    """

    root: str
    utterances: list[Recording]
    passed_over: tuple[str, ...]
    split_by: str
    notes: tuple[str, ...]


def list_corpus(name: str, source: epath.PathLike, prefix: str, rules: SplitRules | None = None) -> CorpusListing:
    """Reads a corpus as `corpora.read_corpus` does, with splits, and when each recording was changed last."""
    if storage.is_remote(source):
        return _list_remote(name, os.fspath(source), prefix, rules)
    root = Path(source)
    found = _split(name, root, prefix, rules)
    utterances = [dataclasses.replace(recording, stamp=_local_stamp(recording.path)) for recording in found.recordings]
    others = tuple(passed_over(root, found.recordings))
    return CorpusListing(str(_folder_of(root)), utterances, others, found.by, found.notes)


def _split(name: str, source: Path, prefix: str, rules: SplitRules | None) -> Splitting:
    return assign_splits(read_corpus(name, source, prefix), rules, _folder_of(source))


def _folder_of(source: Path) -> Path:
    """The corpus's folder; of a manifest the one that it lies in."""
    return source if source.is_dir() else source.parent


def _local_stamp(path: os.PathLike) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"


def _list_remote(name: str, source: str, prefix: str, rules: SplitRules | None) -> CorpusListing:
    """The listing of a local tree with a bucket folder's names, in which only metadata files hold anything."""
    files = storage.bucket(source)
    address = posixpath.dirname(source) if files.isfile(source) else source.rstrip("/")
    with storage.temporary_folder() as folder:
        root = folder / posixpath.basename(address)  # readers may look at the folder's own name, too
        stamps = _mirror(address, root)
        corpus = root / posixpath.relpath(source, address)
        try:
            split = _split(name, corpus, prefix, rules)
        except DataError as error:
            raise DataError(str(error).replace(str(root), address)) from error
        utterances = []
        for recording in split.recordings:
            place = recording.path.relative_to(root).as_posix()
            there, stamp = epath.Path(posixpath.join(address, place)), stamps.get(place, "missing")
            utterances.append(dataclasses.replace(recording, path=there, stamp=stamp))
        others = tuple(passed_over(corpus, split.recordings))
        return CorpusListing(address, utterances, others, split.by, split.notes)


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
