"""SHA-256 of every file of a bundle, beside `bundle.json`: what arrived is what was published."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

from evc_jax.errors import BundleError, one_line
from evc_jax.files import atomic_file, printable

CHECKSUMS_FILE = "checksums.json"
DIGEST = re.compile("[0-9a-f]{64}")


def write_checksums(folder: str | os.PathLike) -> Path:
    """Writes the checksums of all files of a folder into it, in place of those that are there."""
    folder = Path(folder)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    digests = {name: sha256_of(folder / name) for name in names if name != CHECKSUMS_FILE}
    with atomic_file(folder / CHECKSUMS_FILE) as beside:
        beside.write_text(json.dumps({"sha256": digests}, indent=2) + "\n", encoding="utf-8")
    return folder / CHECKSUMS_FILE


def parse_checksums(content: bytes, where: object) -> dict[str, str]:
    """The SHA-256 of each file, by its path in the folder.

    Args:
      content: of a checksums file.
      where: it comes from, for the message.

    Raises:
      BundleError: it is not one, or names files outside the folder.
    """
    try:
        digests = json.loads(content)["sha256"]
        valid = all(is_inside(name) and DIGEST.fullmatch(digest) for name, digest in digests.items())
        reason = "it names no files of the bundle"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        valid, reason = False, one_line(error)
    if not valid or not digests:
        raise BundleError(
            f"The checksums of {where} cannot be used ({reason}); write them with `evc bundle checksums`."
        )
    return digests


def verify_checksums(folder: Path, where: object) -> None:
    """Compares the files of a folder with its checksums; a folder without any is not judged.

    Args:
      folder: of a bundle.
      where: it comes from, for the message.

    Raises:
      BundleError: a file is missing or has another content.
    """
    file = folder / CHECKSUMS_FILE
    if not file.is_file():
        return
    for name, digest in parse_checksums(file.read_bytes(), where).items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != digest:
            what = "is not what its checksums say" if path.is_file() else "is missing"
            raise BundleError(
                f"{printable(name)} of {where} {what}; fetch it again, or have its author run `evc bundle checksums`."
            )


def is_inside(name: str) -> bool:
    """Whether a file of this name, with / between folders, lies inside the folder that it is written to."""
    parts = name.split("/")
    return not {"", ".", ".."} & set(parts) and not any(character in name for character in "\\:\0")


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
