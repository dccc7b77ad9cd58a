"""Which process trains into a work directory: `WORKDIR/process.json`, for others that watch, stop or resume it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jax
from etils import epath

from evc_jax.errors import TrainingError
from evc_jax.files import atomic_file

PROCESS_FILE = "process.json"


@contextlib.contextmanager
def noted_process(workdir: epath.PathLike) -> Iterator[None]:
    """Notes this process in a local work directory while the block runs; of several processes only the first.

    Raises:
      TrainingError: another process of this machine trains there.
    """
    if jax.process_index() or "://" in os.fspath(workdir):
        yield
        return
    if (other := running_process(workdir)) not in (None, os.getpid()):
        raise TrainingError(f"Process {other} trains into {workdir} already; stop it, or give another --workdir.")
    note_process(workdir, os.getpid())
    try:
        yield
    finally:
        (Path(workdir) / PROCESS_FILE).unlink(missing_ok=True)


def note_process(workdir: epath.PathLike, pid: int) -> None:
    """Notes the process that trains into a work directory."""
    with atomic_file(Path(workdir) / PROCESS_FILE) as beside:
        beside.write_text(json.dumps({"pid": pid, "started": _start(pid)}))


def running_process(workdir: epath.PathLike) -> int | None:
    """The id of the process of this machine that trains into a work directory; None where there is none.

    An id is given again to later processes, the time at which its process started is not.
    """
    try:
        noted = json.loads((Path(workdir) / PROCESS_FILE).read_bytes())
        pid, started = int(noted["pid"]), noted["started"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return pid if started is not None and started == _start(pid) else None


def _start(pid: int) -> str | None:
    """When a process started; None where there is no such process, or it has ended and nobody has asked how."""
    try:
        # What follows the name, which may hold blanks and brackets.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return None if state in "ZX" else f"{boot} {fields[18]}"
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    # macOS has no /proc.
    done = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = done.stdout.strip().partition(" ")
    return started.strip() or None if state and not state.startswith("Z") else None
