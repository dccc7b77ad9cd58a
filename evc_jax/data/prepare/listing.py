"""Listing a corpus for the plan, on a local disk or in a bucket."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path

from etils import epath

from evc_jax.data.corpora import passed_over, read_corpus
from evc_jax.data.corpora.recording import Recording
from evc_jax.data.prepare import storage
from evc_jax.data.prepare.plan import DESCRIPTION, Utterance
from evc_jax.data.prepare.splits import assign_splits
from evc_jax.errors import DataError

# What readers of corpora open; of all other files they look at the name only.
_METADATA_SUFFIXES = (".txt", ".tsv", ".csv", ".json", ".lab")


@dataclasses.dataclass(frozen=True)
class CorpusListing:
    """A corpus in the plan's terms.

    Attributes:
      root: the folder of the recordings.
      utterances: each with a split, ordered by id.
      passed_over: what else is in the folder, a line for each reason.
    """

    root: str
    utterances: list[Utterance]
    passed_over: tuple[str, ...]


def list_corpus(name: str, source: epath.PathLike, prefix: str) -> CorpusListing:
    """Reads a corpus's names and metadata, and when each recording was changed last.

    Args:
      name: corpus layout, a key of `corpora.CORPORA`.
      source: the corpus's folder or, for "manifest", its CSV file.
      prefix: put before speaker and text ids.

    Raises:
      DataError: see `corpora.read_corpus`.
    """
    if storage.is_remote(source):
        return _list_remote(name, os.fspath(source), prefix)
    recordings = assign_splits(read_corpus(name, Path(source), prefix))
    utterances = [_utterance(r, str(r.path), _local_stamp(r.path)) for r in recordings]
    root = Path(source)
    return CorpusListing(str(root if root.is_dir() else root.parent), utterances, tuple(passed_over(root, recordings)))


def _utterance(recording: Recording, source: str, stamp: str) -> Utterance:
    return Utterance(source, stamp, *(getattr(recording, name) for name in DESCRIPTION))


def _local_stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"


def _list_remote(name: str, source: str, prefix: str) -> CorpusListing:
    with _shadow(source) as shadow:
        try:
            recordings = assign_splits(read_corpus(name, shadow.source, prefix))
        except DataError as error:
            raise DataError(str(error).replace(str(shadow.root), shadow.address)) from error
        utterances = []
        for recording in recordings:
            relative = recording.path.relative_to(shadow.root).as_posix()
            stamp = shadow.stamps.get(relative, "missing")
            utterances.append(_utterance(recording, posixpath.join(shadow.address, relative), stamp))
        return CorpusListing(shadow.address, utterances, tuple(passed_over(shadow.source, recordings)))


@dataclasses.dataclass(frozen=True)
class _Shadow:
    """A local tree with a bucket folder's names, in which only metadata files hold anything.

    Attributes:
      root: the tree's root.
      source: what is given to the corpus's reader, the root or a file in it.
      address: of the folder in the bucket.
      stamps: by place in the folder, what changes when the file does.
    """

    root: Path
    source: Path
    address: str
    stamps: dict[str, str]


@contextlib.contextmanager
def _shadow(source: str) -> Iterator[_Shadow]:
    files = storage.bucket(source)
    address = posixpath.dirname(source) if files.isfile(source) else source.rstrip("/")
    with storage.temporary_folder() as folder:
        # Readers may look at the folder's own name, too.
        root = folder / posixpath.basename(address)
        found = {}
        top = files._strip_protocol(address)
        for path, info in files.find(top, detail=True).items():
            relative = posixpath.relpath(path, top)
            # An object may have any name, also one that leads out of the tree.
            if ".." not in relative.split("/"):
                found[relative] = _remote_stamp(info)
        storage.all_at_once(_mirror(address, root), found)
        yield _Shadow(root, root / posixpath.relpath(source, address), address, found)


def _mirror(address: str, root: Path) -> Callable[[str], None]:
    def mirror(relative: str) -> None:
        local = root / relative
        local.parent.mkdir(parents=True, exist_ok=True)
        if local.suffix.lower() not in _METADATA_SUFFIXES:
            local.touch()
            return
        storage.download(posixpath.join(address, relative), local)

    return mirror


def _remote_stamp(info: dict) -> str:
    changed = next((info[key] for key in ("generation", "etag", "ETag", "mtime", "LastModified") if info.get(key)), "")
    return f"{info.get('size')} {changed}"
