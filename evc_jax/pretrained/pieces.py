"""A bundle as files of limited size, for where files travel in pieces, and the bundle from them again."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

from evc_jax.errors import BundleError
from evc_jax.files import atomic_dir, atomic_file, printable
from evc_jax.pretrained.bundle import check_replaceable, load_bundle

BYTES_PER_MEGABYTE = 1_000_000
_DIGEST_CHARACTERS = 16
_NAME = re.compile(r"(?P<digest>[0-9a-f]{16})-(?P<number>\d+)-of-(?P<count>\d+)\.bundle")


def split_bundle(bundle: str | os.PathLike, folder: str | os.PathLike, max_megabytes: float) -> list[Path]:
    """Writes a bundle as pieces into a folder.

    The pieces, one behind the other, are a tar archive. Their names are the beginning of its SHA-256, their number and
    their count; the same bundle always gives the same pieces.

    Args:
      bundle: its directory.
      folder: for the pieces; made where it is missing.
      max_megabytes: size of a piece, in millions of bytes.

    Raises:
      BundleError: it is no bundle, or pieces cannot be so small.
    """
    source, target = load_bundle(bundle).path, Path(folder)
    size = int(max_megabytes * BYTES_PER_MEGABYTE)
    if size < 1:
        raise BundleError(f"Pieces of {max_megabytes:g} MB were asked for; give at least 0.000001.")
    archive = _archive(source)
    digest = hashlib.sha256(archive).hexdigest()[:_DIGEST_CHARACTERS]
    starts = range(0, len(archive), size)
    target.mkdir(parents=True, exist_ok=True)
    pieces = [target / f"{digest}-{number + 1}-of-{len(starts)}.bundle" for number in range(len(starts))]
    for piece, start in zip(pieces, starts, strict=True):
        with atomic_file(piece) as beside:
            Path(beside).write_bytes(archive[start : start + size])
    return pieces


def join_bundle(pieces: Sequence[str | os.PathLike], output: str | os.PathLike) -> Path:
    """Makes the bundle of which these are the pieces.

    Args:
      pieces: all of one bundle, in any order; or the folder that holds them.
      output: the bundle's directory; a bundle there is replaced.

    Raises:
      BundleError: a piece is missing, of another bundle, or damaged, or `output` is something else than a bundle.
    """
    target = Path(output)
    check_replaceable(target)
    digest, files = _in_order([file for piece in map(Path, pieces) for file in _files(piece)])
    archive = b"".join(_read(file) for file in files)
    if hashlib.sha256(archive).hexdigest()[:_DIGEST_CHARACTERS] != digest:
        raise BundleError(f"The pieces of {digest} are damaged: together they are not what was split; copy them again.")
    with atomic_dir(target) as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        load_bundle(folder)
    return target


def _archive(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(file.relative_to(folder).as_posix())  # without dates and owners
            entry.size = file.stat().st_size
            with file.open("rb") as opened:
                tar.addfile(entry, opened)
    return buffer.getvalue()


def _files(piece: Path) -> list[Path]:
    if not piece.is_dir():
        return [piece]
    found = sorted(path for path in piece.iterdir() if _NAME.fullmatch(path.name))
    if not found:
        raise BundleError(
            f"{printable(piece)} holds no piece of a bundle; give the files that `evc bundle split` wrote."
        )
    return found


def _in_order(files: Sequence[Path]) -> tuple[str, list[Path]]:
    """The digest of the whole, and its pieces."""
    numbered: dict[int, Path] = {}
    bundles = set()
    for file in files:
        name = _NAME.fullmatch(file.name)
        if not name:
            raise BundleError(
                f"{printable(file)} is no piece of a bundle; give the files that `evc bundle split` wrote."
            )
        bundles.add((name["digest"], int(name["count"])))
        numbered[int(name["number"])] = file
    if len(bundles) > 1:
        names = ", ".join(sorted(digest for digest, _ in bundles))
        raise BundleError(f"The pieces are of {len(bundles)} bundles ({names}); give those of one.")
    ((digest, count),) = bundles
    missing = [str(number) for number in range(1, count + 1) if number not in numbered]
    if missing:
        raise BundleError(f"Of the {count} pieces of {digest} {', '.join(missing)} are missing; give all of them.")
    return digest, [numbered[number] for number in range(1, count + 1)]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BundleError(f"The piece {printable(file)} cannot be read ({error.strerror}); copy it again.") from error
