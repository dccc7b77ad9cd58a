"""Where bundles come from: web servers, the Hugging Face Hub, buckets, and archives on this machine.

A source says which version of the bundle there is now, and fetches it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from evc_jax.errors import BundleError, one_line
from evc_jax.extras import require_extra
from evc_jax.files import printable
from evc_jax.pretrained.archives import Entry, extract_bundle, is_archive
from evc_jax.pretrained.checksums import CHECKSUMS_FILE, DIGEST, parse_checksums, sha256_of
from evc_jax.pretrained.download import (
    TIMEOUT_S,
    check_pin,
    check_web_place,
    fetch_archive,
    fetch_files,
    reaching,
    web_open,
)

BUCKETS = ("gs", "s3", "az")
_MAX_LIST_BYTES = 10_000_000
_PIN = "#sha256="
_COMMIT = re.compile("[0-9a-f]{40}")
_HUB_PLACE = re.compile(r"hf://(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[^@\s]+))?/?")
# What file systems call that which changes with a file's content.
_MARKS = ("etag", "ETag", "md5Hash", "content_md5", "crc32c", "updated", "LastModified", "mtime")


class Source:
    """A place that holds a bundle.

    Attributes:
      place: as the user gave it, without its pin.
      pin: the only version that is accepted; None for the newest.
    """

    def __init__(self, place: str, pin: str | None = None):
        self.place, self.pin = place, pin

    def version(self) -> str:
        """What changes when the bundle changes.

        Raises:
          BundleError: there is no bundle.
          UnreachableError: the place does not answer.
        """
        raise NotImplementedError

    def fetch(self, folder: Path, progress: bool) -> None:
        """Writes the bundle into a folder; raises as `version`, and OSError where the folder cannot be written."""
        raise NotImplementedError


def source_of(place: str) -> Source | None:
    """The source that a user names; None for a folder of this machine.

    Raises:
      BundleError: it is not written as places of bundles are.
    """
    place, pinned, digest = place.partition(_PIN)
    scheme = place.partition("://")[0] if "://" in place else ""
    is_file, archive = not scheme and Path(place).is_file(), is_archive(urlsplit(place).path if scheme else place)
    if pinned and not (DIGEST.fullmatch(digest.lower()) and archive and scheme != "hf"):
        raise BundleError(
            f"{place}{pinned}{digest} is pinned, which an archive can be, by 64 hexadecimal digits; a repository of "
            "the Hugging Face Hub is pinned as hf://OWNER/NAME@COMMIT."
        )
    pin = digest.lower() or None
    if scheme == "hf":
        return Hub(place)
    if scheme in BUCKETS:
        return Bucket(place, pin)
    if scheme in ("http", "https"):
        check_web_place(place)
        return WebArchive(place, pin) if archive else WebFolder(place)
    if scheme:
        raise BundleError(f"{place} is no place of bundles; give a folder, an archive, hf://, https:// or gs://.")
    return LocalArchive(place, pin) if is_file and (archive or pinned) else None


class LocalArchive(Source):
    """An archive on this machine."""

    def version(self) -> str:
        try:
            found = sha256_of(Path(self.place))
        except OSError as error:
            raise BundleError(f"{printable(self.place)} cannot be read ({error.strerror}); copy it again.") from error
        check_pin(found, self.pin, self.place)
        return found

    def fetch(self, folder: Path, progress: bool) -> None:
        extract_bundle(Path(self.place), folder, self.place)


class WebArchive(Source):
    """An archive on a web server."""

    def version(self) -> str:
        if self.pin:
            return self.pin
        with web_open(self.place) as answer:
            marks = [answer.headers.get(name, "") for name in ("ETag", "Last-Modified", "Content-Length")]
        return _digest(marks)

    def fetch(self, folder: Path, progress: bool) -> None:
        fetch_archive(lambda: web_open(self.place), folder, self.place, self.pin, progress)


class WebFolder(Source):
    """A folder on a web server, whose checksums are the list of its files."""

    _checksums = b""

    def version(self) -> str:
        with web_open(self._url(CHECKSUMS_FILE)) as answer, reaching(self.place):
            self._checksums = answer.read(_MAX_LIST_BYTES)
        return hashlib.sha256(self._checksums).hexdigest()

    def fetch(self, folder: Path, progress: bool) -> None:
        names = parse_checksums(self._checksums, self.place)
        entries = [Entry(name, lambda url=self._url(name): web_open(url)) for name in names]  # type: ignore[misc]
        fetch_files(entries, folder, self.place, progress)
        (folder / CHECKSUMS_FILE).write_bytes(self._checksums)

    def _url(self, name: str) -> str:
        parts = urlsplit(self.place)
        return parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}").geturl()


class Bucket(Source):
    """A folder or an archive in a bucket, by fsspec's file system for it."""

    def version(self) -> str:
        if self.pin:
            return self.pin
        _, root, found = self._listing
        return _digest(
            [
                (name.removeprefix(root), info.get("size"), next((info[key] for key in _MARKS if key in info), ""))
                for name, info in found
            ]
        )

    def fetch(self, folder: Path, progress: bool) -> None:
        system, root, found = self._listing
        entries = [
            Entry(name.removeprefix(root).lstrip("/"), lambda name=name: system.open(name, "rb"))  # type: ignore[misc]
            for name, _ in found
        ]
        if is_archive(self.place):
            return fetch_archive(entries[0].open, folder, self.place, self.pin, progress)
        sizes = {entry.name: info.get("size") or 0 for entry, (_, info) in zip(entries, found, strict=True)}
        return fetch_files(entries, folder, self.place, progress, sizes)

    def _open_system(self) -> tuple[Any, str]:
        """The file system, and the folder in it."""
        import fsspec

        try:
            return fsspec.core.url_to_fs(self.place.rstrip("/"))
        except ImportError as error:
            raise BundleError(
                f"{self.place} needs a library that is not installed ({one_line(error)}); run "
                "`pip install 'evc_jax[cloud]'` for gs://, else what the message names."
            ) from error

    @functools.cached_property
    def _listing(self) -> tuple[Any, str, Sequence[tuple[str, Mapping[str, Any]]]]:
        """The file system, the folder in it, and its files: those that the version was made of are fetched."""
        with reaching(self.place):
            system, root = self._open_system()
            system.invalidate_cache()
            found = sorted(system.find(root, detail=True).items())
        files = [(name, info) for name, info in found if not name.endswith("/")]
        if not files:
            raise BundleError(f"There is no bundle at {self.place}; give the place of one, with bundle.json in it.")
        return system, root, files


class Hub(Bucket):
    """A repository of the Hugging Face Hub, or of the server that $HF_ENDPOINT names."""

    def __init__(self, place: str):
        parsed = _HUB_PLACE.fullmatch(place)
        if not parsed:
            raise BundleError(f"{place} names no bundle of the Hugging Face Hub; give hf://OWNER/NAME[@REVISION].")
        self._name, self._revision = parsed["name"], parsed["revision"]
        super().__init__(place, self._revision if _COMMIT.fullmatch(self._revision or "") else None)

    def version(self) -> str:
        if self.pin:
            return self.pin
        require_extra("hub", self.place)
        from huggingface_hub import HfApi

        with reaching(self.place):
            info = HfApi(endpoint=_hub_endpoint()).repo_info(self._name, revision=self._revision, timeout=TIMEOUT_S)
        # What is fetched is this commit, even if another one comes meanwhile.
        self.pin = str(info.sha)
        return self.pin

    def _open_system(self) -> tuple[Any, str]:
        require_extra("hub", self.place)
        from huggingface_hub import HfFileSystem

        return HfFileSystem(endpoint=_hub_endpoint()), f"{self._name}@{self.pin}"


def _hub_endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


def _digest(marks: Sequence[object]) -> str:
    return hashlib.sha256(repr(marks).encode()).hexdigest()
