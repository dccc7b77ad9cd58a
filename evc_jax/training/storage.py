"""Files of a work directory, and one sentence where the machine has no room, no memory or no permission for them."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import jax
import numpy as np
from etils import epath

from evc_jax.errors import EvcError, TrainingError, one_line
from evc_jax.pretrained.workdir import saved_steps
from evc_jax.training.config import TrainConfig

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_SIGNS = ("no space left", "disk quota", "resource_exhausted: error writing")
_DEVICE_MEMORY_SIGNS = ("resource_exhausted", "out of memory")
_HOST_MEMORY_SIGNS = ("bad_alloc", "cannot allocate memory", "can't start new thread")


@contextlib.contextmanager
def replaced_file(path: epath.Path) -> Iterator[BinaryIO]:
    """Opens a file that takes the place of `path` once the block has ended well; otherwise nothing of it is left."""
    # One per process, as all may write at once.
    beside = path.with_name(f".{path.name}.{jax.process_index()}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_cache(cache: epath.Path, fingerprint: str) -> dict[str, np.ndarray] | None:
    """The arrays of an `.npz` file beside `fingerprint`; None where there are none of this one that can be read."""
    if not cache.exists():
        return None
    try:
        with cache.open("rb") as file, np.load(file) as stored:
            if str(stored["fingerprint"]) == fingerprint:
                return {name: stored[name] for name in stored.files if name != "fingerprint"}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):  # cut short, or a bit changed
        pass
    return None


def check_writable(workdir: epath.Path) -> None:
    """Whether the work directory is there or can be made, before anything is computed for it.

    Raises:
      TrainingError: it is something else, or no file can be made in it.
    """
    if "://" in str(workdir):
        return
    folder = workdir.expanduser().absolute()
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    if os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
        return
    reason = "does not permit it" if os.path.isdir(folder) else "is no folder"
    raise TrainingError(f"The work directory {workdir} cannot be written ({folder} {reason}); give another --workdir.")


@contextlib.contextmanager
def machine_errors(config: TrainConfig, workdir: epath.Path) -> Iterator[None]:
    """Turns what a full disk, too little memory or a missing permission raise into one sentence.

    Raises:
      TrainingError: in place of such an error, whichever library raised it.
    """
    try:
        yield
    except EvcError:
        raise
    except Exception as error:
        sentence = _explain(error, config, workdir)
        if sentence is None:
            raise
        raise TrainingError(sentence) from error


def full_disk(place: object, workdir: epath.Path, reason: str) -> str:
    """The sentence for a disk without room."""
    steps = saved_steps(workdir)
    last = f"the checkpoint of step {steps[-1]} is intact" if steps else "nothing was saved yet"
    return f"The disk of {place} is full ({reason}); {last}: make room and give the same command again."


def _explain(error: Exception, config: TrainConfig, workdir: epath.Path) -> str | None:
    text = str(error).lower()
    number, file = getattr(error, "errno", None), getattr(error, "filename", None)
    if number in _FULL or any(sign in text for sign in _FULL_SIGNS):
        place = f"{workdir} or {tempfile.gettempdir()}" if file is None else file
        return full_disk(place, workdir, "nothing more can be written")
    is_host = (
        isinstance(error, MemoryError) or number == errno.ENOMEM or any(sign in text for sign in _HOST_MEMORY_SIGNS)
    )
    if is_host or any(sign in text for sign in _DEVICE_MEMORY_SIGNS):
        return _too_little_memory(is_host or jax.default_backend() == "cpu", one_line(error), config)
    if isinstance(error, OSError) and file is not None:
        return f"{os.fsdecode(file)} cannot be used ({error.strerror}); mend that and give the same command again."
    return None


def _too_little_memory(is_host: bool, reason: str, config: TrainConfig) -> str:
    """The sentence for a memory that is full, with every key that would need less of it."""
    others = []
    if config.options.get("remat") is False:
        others.append("set config.options.remat=True, which computes again what it does not keep")
    if not is_host and config.compute_dtype != "bfloat16":
        others.append("set config.compute_dtype=bfloat16")
    if is_host and config.data.read_threads > 1:
        others.append(f"lower config.data.read_threads ({config.data.read_threads})")
    return (
        f"Memory ran out on the {'host' if is_host else 'device'} in a training with batch_size {config.batch_size} "
        f"({reason}); lower config.batch_size and raise config.accumulate by the same factor, which trains the same in "
        f"less memory{''.join(f', or {other}' for other in others)}."
    )
