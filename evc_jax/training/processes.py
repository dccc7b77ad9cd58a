"""The processes of one training on several hosts: joining them, and what each of them gives to all others."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import jax
from jax._src.distributed import global_state  # no public module has the key-value store

from evc_jax.errors import ConfigError, TrainingError, one_line
from evc_jax.training.process_watch import AGAIN, BEAT_S, LOST, REFUSED, Watch, on_abort, print_sentence

# JAX's own, and how many of them processes wait for each other at the start.
DEFAULT_TIMEOUT_S, START_TIMEOUTS = 100.0, 3
# Another process that lives is waited for: reading a checkpoint or a dataset may take it longer.
PATIENCE_S = 3600.0


@dataclass(frozen=True)
class Group:
    """The processes of a training, as one of them sees them.

    Attributes:
      index, count: of this process, and of all.
      store: JAX's `DistributedRuntimeClient`, a key-value store that all share; None for a single process.
    """

    index: int = 0
    count: int = 1
    store: Any = None

    def collect(self, name: str, value: Any) -> Iterator[Any]:
        """What every process gives under a name, in the order of their indices; all must ask for the same names.

        Args:
          name: used once in the life of a process.
          value: of this process, JSON.

        Raises:
          TrainingError: a process gave nothing in time.
        """
        if self.store is None:
            yield value
            return
        self.store.key_value_set(f"evc/{name}/{self.index}", json.dumps(value))
        for index in range(self.count):
            yield json.loads(self._get(f"evc/{name}/{index}", index))

    def share(self, name: str, value: Any) -> list[Any]:
        """All of `collect`."""
        return list(self.collect(name, value))

    def _get(self, key: str, index: int) -> str:
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            try:
                return self.store.blocking_key_value_get(key, 2000)  # ms; Ctrl-C is handled in between
            except RuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise
        raise TrainingError(f"Process {index} did not come to {key!r} within {PATIENCE_S:.0f} s; {AGAIN}.")


def current() -> Group:
    """The processes that `connect` has joined; a single one otherwise."""
    if global_state.client is None:
        return Group()
    return Group(global_state.process_id, global_state.num_processes, global_state.client)


@contextlib.contextmanager
def joined(distributed: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> Iterator[None]:
    """Joins the processes of a training for the block; see `connect`.

    An error that ends the block on one process ends it on all, each with the sentence of the one that failed and its
    exit code. Where a process is gone, the others end with exit code 3.
    """
    connect(distributed, timeout_s)
    group = current()
    if group.count == 1:
        yield
        return
    watch = Watch(group.store, group.index, group.count, timeout_s)
    watch.start()
    on_abort(lambda: _explain_abort(group.index))
    try:
        yield
        group.share("finished", "")
    except BaseException as error:
        # Called before JAX's own, which would wait for processes that are gone.
        atexit.register(_leave, watch.fail(error))
        raise
    watch.finish()
    on_abort(None)


def connect(distributed: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
    """Joins the processes of a training on several hosts; to be called before anything else touches JAX.

    JAX aborts a process that cannot join. It ends with exit code 2 where that is due to its arguments, and with 3 where
    the others did not come in time.

    Args:
      distributed: "" for a single process; "auto" where JAX finds the others by itself (TPU pods, Slurm, GKE, Open
        MPI); else "ADDRESS:PORT/COUNT/INDEX" with the first process's address, e.g. "10.0.0.1:1234/4/0".
      timeout_s: a process without a sign of life for so long is gone. At the start processes wait three times as long
        for each other.

    Raises:
      ConfigError: `distributed` or the timeout cannot be.
    """
    if timeout_s < 2 * BEAT_S:
        raise ConfigError(f"--distributed-timeout is {timeout_s:g}; expected at least {2 * BEAT_S:g} seconds.")
    if not distributed:
        return
    parts = re.fullmatch(r"(.+:\d+)/(\d+)/(\d+)", distributed)
    if distributed != "auto" and not (parts and int(parts[3]) < int(parts[2])):
        raise ConfigError(
            f"--distributed is {distributed!r}; give auto, or ADDRESS:PORT/COUNT/INDEX such as 10.0.0.1:1234/4/0."
        )
    place: tuple[Any, ...] = (parts[1], int(parts[2]), int(parts[3])) if parts else ()
    start_s = round(START_TIMEOUTS * timeout_s)
    # JAX aborts when its own heartbeats fail; `Watch` comes first and names the process.
    limits: dict[str, Any] = {
        "initialization_timeout": start_s,
        "heartbeat_timeout_seconds": round(2 * timeout_s),
        "shutdown_timeout_seconds": start_s,
    }
    with _captured_errors() as (read, descriptor):
        on_abort(lambda: _explain_failed_start(read(), descriptor, place, start_s))
        try:
            jax.distributed.initialize(*place, **limits)
        except (ValueError, RuntimeError) as error:
            raise ConfigError(_explain_refusal(distributed, error)) from error
        finally:
            on_abort(None)


def _explain_refusal(distributed: str, error: Exception) -> str:
    if distributed == "auto":
        return (
            f"--distributed is auto, but there are no other hosts here, neither of a TPU pod nor of Slurm, GKE or "
            f"Open MPI ({one_line(error)}); leave it out on a single machine, or give ADDRESS:PORT/COUNT/INDEX."
        )
    return f"--distributed is {distributed!r}, which JAX refuses ({one_line(error)}); give another address or port."


def _explain_failed_start(written: str, descriptor: int, place: tuple[Any, ...], waited_s: int) -> int:
    """Prints a sentence for what JAX has written before it gave up; `place` is address, count and index."""
    reason = written.rpartition("absl::Status: ")[2].split("\n")[0]
    address, count, index = place or ("their coordinator", "the", "this one")
    code = REFUSED
    if "incarnation" in reason or "ALREADY_EXISTS" in reason:
        sentence = f"two processes have the index {index} of --distributed; give each of the {count} its own."
    elif "Unexpected task" in reason:
        sentence = f"process 0 at {address} counts fewer than {count} processes; give all the same --distributed count."
    elif "DEADLINE_EXCEEDED" in reason:
        code = LOST
        sentence = (
            f"process {index} has waited {waited_s} s for all of {count} processes to meet at {address}; start each "
            "within that time, with an index of its own, where it can reach that address, or give a longer "
            "--distributed-timeout."
        )
    else:
        sentence = f"process {index} cannot join the others at {address} ({one_line(ValueError(reason))})."
    print_sentence(sentence, descriptor)
    return code


def _explain_abort(index: int) -> int:
    address = global_state.coordinator_address or ""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
        sentence = f"process {index} was ended by JAX, see above: a process is gone, or an index was given twice"
    except (OSError, ValueError):
        sentence = f"process 0 at {address} is gone"
    print_sentence(f"{sentence}; {AGAIN}.")
    return LOST


@contextlib.contextmanager
def _captured_errors() -> Iterator[tuple[Callable[[], str], int]]:
    """Keeps what C++ code writes to standard error; gives a function that reads it, and the real one's descriptor.

    A process that survives the block writes it out then.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        real = os.dup(2)
        os.dup2(file.fileno(), 2)

        def read() -> str:
            return os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")

        try:
            yield read, real
        finally:
            sys.stderr.flush()
            os.dup2(real, 2)
            os.write(2, read().encode())
            os.close(real)


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
