"""Bundles that are not folders of this machine: fetched once, checked, and kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import sys
import time
import warnings
from pathlib import Path
from urllib.parse import urlsplit

from evc_jax.errors import BundleError, BundleWarning
from evc_jax.files import atomic_dir, atomic_file, printable
from evc_jax.jax_cache import CACHE_VARIABLE, cache_root
from evc_jax.pretrained.archives import SUFFIXES
from evc_jax.pretrained.checksums import verify_checksums
from evc_jax.pretrained.description import DESCRIPTION_FILE
from evc_jax.pretrained.download import UnreachableError
from evc_jax.pretrained.sources import Source, source_of

# Which of the versions beside it was there last.
_NEWEST = "newest"
_ABANDONED_S = 24 * 3600


def local_folder(place: str | os.PathLike, progress: bool | None = None) -> Path:
    """The folder with a bundle, which is fetched where it is not here.

    Args:
      place: a folder; an archive (.zip, .tar.gz); `hf://OWNER/NAME[@REVISION]`; `https://...` of an archive or of a
        folder with checksums; `gs://...` of either. An archive is pinned by `#sha256=DIGEST` behind it.
      progress: whether to draw a bar; None draws one where a terminal watches.

    Returns:
      the folder itself, or the copy in the cache. Where a place cannot be reached, its newest copy is returned with a
      `BundleWarning`.

    Raises:
      BundleError: there is no bundle, it is not what its checksums or its pin say, or it can neither be reached nor is
        it cached.
    """
    source = source_of(os.fspath(place))
    if source is None:
        return Path(place)
    home = _home(source.place)
    try:
        version = source.version()[:40]
        if not (home / version).is_dir():
            _fetch(source, home / version, sys.stderr.isatty() if progress is None else progress)
        if _read_newest(home) != version:
            with atomic_file(home / _NEWEST) as beside:
                beside.write_text(version)
    except UnreachableError as error:
        return _cached(source, home, str(error))
    except OSError as error:
        raise BundleError(
            f"The bundle {printable(source.place)} cannot be kept in {bundles_cache()} ({error.strerror or error}); "
            f"make room there, or set {CACHE_VARIABLE} to another folder."
        ) from error
    return home / version / _short_name(source.place)


def bundles_cache() -> Path:
    """Where fetched bundles are kept: `bundles` in the user's cache folder, see `jax_cache.cache_root`.

    Raises:
      BundleError: there is no such folder.
    """
    root = cache_root()
    if root is None:
        raise BundleError(f"There is no home directory to keep fetched bundles in; set {CACHE_VARIABLE}.")
    return root / "bundles"


def _fetch(source: Source, folder: Path, progress: bool) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder.parent)
    with atomic_dir(folder) as partial:
        # The bundle's name, which pages and settings show, is the last one of its path.
        bundle = partial / _short_name(source.place)
        bundle.mkdir()
        source.fetch(bundle, progress)
        if not (bundle / DESCRIPTION_FILE).is_file():
            raise BundleError(f"{printable(source.place)} has no {DESCRIPTION_FILE}; give the place of a bundle.")
        verify_checksums(bundle, printable(source.place))


def _cached(source: Source, home: Path, reason: str) -> Path:
    """The newest copy of what cannot be reached; of what is pinned no other than that."""
    name = source.pin[:40] if source.pin else _read_newest(home)
    folder = home / name if name else None
    if folder is None or not folder.is_dir():
        raise BundleError(
            f"The bundle {printable(source.place)} cannot be reached ({reason}) and no copy of it is in "
            f"{bundles_cache()}; check the connection, or give a bundle that is on this machine."
        )
    fetched = time.strftime("%Y-%m-%d", time.localtime(folder.stat().st_mtime))
    text = f"{printable(source.place)} cannot be reached ({reason}); the copy of {fetched} is used."
    warnings.warn(BundleWarning(text), stacklevel=2)
    return folder / _short_name(source.place)


def _read_newest(home: Path) -> str:
    with contextlib.suppress(OSError, ValueError):
        name = (home / _NEWEST).read_text(encoding="utf-8").strip()
        if re.fullmatch("[0-9a-f]+", name):
            return name
    return ""


def _home(place: str) -> Path:
    """The folder for the versions of a place, whose name no two places share."""
    key = place if "://" in place else str(Path(place).absolute())
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    return bundles_cache() / f"{_short_name(place)}-{digest[:12]}"


def _short_name(place: str) -> str:
    """The last name of a place, as a folder can have it: `voice` of `hf://me/voice@v1` or `https://me.org/voice.zip`."""
    name = urlsplit(place).path.rstrip("/").rpartition("/")[2] if "://" in place else Path(place).name
    suffix = next((each for each in SUFFIXES if name.lower().endswith(each)), "")
    return re.sub(r"[^\w.-]+", "-", name[: len(name) - len(suffix)].partition("@")[0])[-60:].strip(".-") or "bundle"


def _remove_abandoned(home: Path) -> None:
    """Removes what processes that were killed have left."""
    for path in home.iterdir():
        if path.name.startswith(".") and time.time() - path.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(path, ignore_errors=True)
