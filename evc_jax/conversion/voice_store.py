"""Where named voices are kept: one .npy file each, in a folder of the user's."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

from evc_jax.errors import ConfigError

FOLDER_VARIABLE = "EVC_VOICES_DIR"
SUFFIX = ".npy"
# No path, no option, no hidden file; a suffix would make it look like a recording.
_NAME = re.compile(r"\w[\w-]{0,63}")


def voices_dir() -> Path:
    """$EVC_VOICES_DIR, else evc_jax/voices in the user's data folder (XDG base directory specification).

    Raises:
      ConfigError: there is no home directory either.
    """
    if os.environ.get(FOLDER_VARIABLE):
        return Path(os.environ[FOLDER_VARIABLE])
    data = os.environ.get("XDG_DATA_HOME", "")
    try:
        # The specification ignores relative paths.
        root = Path(data) if os.path.isabs(data) else Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise ConfigError(f"There is no home directory to keep voices in; set {FOLDER_VARIABLE}.") from error
    return root / "evc_jax" / "voices"


def find(name: str, folder: str | os.PathLike | None = None) -> Path | None:
    """The file of a named voice in a folder, `voices_dir` if None; None where there is none of that name."""
    return names(folder).get(_normalized(name)) if is_name(name) else None


def locate(voice: str, folder: str | os.PathLike | None) -> str:
    """A requested voice, with a name that `folder` knows replaced by its file; a path wins over a name.

    Raises:
      ConfigError: there is no such folder.
    """
    if folder is None:
        return voice
    if not Path(folder).is_dir():
        raise ConfigError(f"There is no folder of voices at {folder}; give one that `evc voices` wrote into.")
    return voice if Path(voice).exists() else str(find(voice, folder) or voice)


def names(folder: str | os.PathLike | None = None) -> dict[str, Path]:
    """All named voices in a folder and their files, sorted; of `voices_dir` if None."""
    found = Path(folder or voices_dir()).glob(f"*{SUFFIX}")
    return {_normalized(file.stem): file for file in sorted(found) if is_name(file.stem)}


def check_name(name: str) -> str:
    """The name in Unicode's composed form, where a voice can have it.

    Raises:
      ConfigError: it cannot.
    """
    if not is_name(name) or name in ("original", "sampled"):
        raise ConfigError(f"A voice cannot be named {name!r}; use up to 64 letters, digits, - and _, with no - first.")
    return _normalized(name)


def _normalized(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def is_name(name: str) -> bool:
    """Whether a voice can have the name.

    Combining marks are part of a letter, also where no composed letter exists (Devanagari, for one).
    """
    letters = "".join(char for char in _normalized(name) if not unicodedata.category(char).startswith("M"))
    return bool(_NAME.fullmatch(letters))
