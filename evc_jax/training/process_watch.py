"""Noticing that a process of a training is gone or has failed, and ending the others with one sentence.

JAX's coordination service runs in process 0. Its key-value store carries signs of life, and the reasons of failures. A
process that loses the service is aborted by JAX's C++ code after a stack trace; the handler of SIGABRT adds a sentence.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from evc_jax.errors import EvcError, one_line

BEAT_S = 1.0
SUSPECTED_S = 6.0  # after an error that the end of another process may have caused, silence for so long is enough
LINGER_S = 10.0  # for so long process 0 keeps the service up, until the others have read why it ends
REFUSED, LOST, INTERRUPTED = 2, 3, 130  # exit codes; LOST: the same command may well succeed
AGAIN = "start all processes again with the same command, and the training goes on from its last checkpoint"
_BEATS, _FAILED, _FINISHED = "evc/beats/", "evc/failed/", "finished"

_handlers: list[Any] = []  # ctypes needs them alive as long as the signal may come


class Watch:
    """Signs of life of all processes, and an end to this one when another fails or falls silent."""

    def __init__(self, store: Any, index: int, count: int, timeout_s: float, end: Callable[[int], Any] = os._exit):
        """Prepares to watch the others.

        Args:
          store: JAX's `DistributedRuntimeClient`, which all processes share.
          index, count: of this process, and of all.
          timeout_s: a process without a sign of life for so long is gone.
          end: ends this process with an exit code.
        """
        self._store, self._index, self._count = store, index, count
        self._timeout_s, self._end = timeout_s, end
        self._stopped = threading.Event()
        now_s = time.monotonic()
        self._seen = {other: ("", now_s) for other in range(count) if other != index}
        self._thread = threading.Thread(target=self._run, name="process watch", daemon=True)

    def start(self) -> None:
        """Starts watching, in a thread."""
        self._thread.start()

    def finish(self) -> None:
        """Stops watching: this process has ended well, and its silence is no sign of anything."""
        self._stop()
        with contextlib.suppress(Exception):  # the service may have ended with process 0
            self._store.key_value_set(f"{_BEATS}{self._index}", _FINISHED, allow_overwrite=True)

    def fail(self, error: BaseException) -> int:
        """Lets the other processes know why this one ends; returns its exit code.

        An error that is none of ours may have its cause in the end of another process. Where that is so, its sentence
        is printed, and this call does not return.
        """
        if isinstance(error, EvcError):
            code, reason = REFUSED, str(error)
        elif isinstance(error, KeyboardInterrupt):
            code, reason = INTERRUPTED, "it was interrupted; the same command resumes from the last checkpoint."
        else:
            self._timeout_s = min(self._timeout_s, SUSPECTED_S)
            time.sleep(self._timeout_s + 3 * BEAT_S)
            code, reason = 1, f"{type(error).__name__}: {one_line(error)}; see its own output."
        self._stop()
        self._announce(code, reason)
        return code

    def look(self) -> None:
        """Gives a sign of life, and ends this process when another has failed or given none for too long."""
        self._store.key_value_set(f"{_BEATS}{self._index}", str(time.monotonic()), allow_overwrite=True)
        for other, beat in self._read(_BEATS).items():
            if other in self._seen and beat != self._seen[other][0]:
                self._seen[other] = (beat, time.monotonic())
        failed = {other: json.loads(text) for other, text in self._read(_FAILED).items()}
        first = min((other for other, (_, reason) in failed.items() if reason), default=None)
        if first is not None:
            if not self._stopped.wait(BEAT_S):  # time to find the same here, and to end by itself
                code, reason = failed[first]
                self._end_all(code, f"process {first}: {reason}")
            return
        silent = self._silent(self._timeout_s)
        if silent:
            self._end_all(LOST, f"{gone(silent)} (no sign of life for {self._timeout_s:.0f} s); {AGAIN}.")

    def _run(self) -> None:
        while not self._stopped.wait(BEAT_S):
            with contextlib.suppress(Exception):  # without the service JAX aborts this process
                self.look()

    def _stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _read(self, folder: str) -> dict[int, str]:
        return {int(key.rsplit("/", 1)[1]): value for key, value in self._store.key_value_dir_get(folder)}

    def _silent(self, limit_s: float) -> list[int]:
        now_s = time.monotonic()
        return [other for other, (beat, seen_s) in self._seen.items() if beat != _FINISHED and now_s - seen_s > limit_s]

    def _end_all(self, code: int, sentence: str) -> None:
        print_sentence(sentence)
        self._announce(code, "")
        self._end(code)

    def _announce(self, code: int, reason: str) -> None:
        """Writes why this process ends (nothing: because of another); process 0 waits until all others do so too."""
        with contextlib.suppress(Exception):  # without the service nobody can be reached
            self._store.key_value_set(f"{_FAILED}{self._index}", json.dumps([code, reason]))
            end_s = time.monotonic() + LINGER_S
            while self._index == 0 and time.monotonic() < end_s:
                if self._read(_FAILED).keys() | self._silent(SUSPECTED_S) >= set(range(self._count)):
                    time.sleep(BEAT_S)  # in which the others end
                    return
                time.sleep(BEAT_S / 4)


def gone(indices: list[int]) -> str:
    """What the sentence for processes without a sign of life begins with."""
    names = " and ".join(map(str, indices))
    return f"process {names} is gone" if len(indices) == 1 else f"processes {names} are gone"


def print_sentence(sentence: str, descriptor: int = 2) -> None:
    """Prints it as the launcher does, from any thread."""
    os.write(descriptor, f"evc train: {sentence}\n".encode())


def on_abort(explain: Callable[[], int] | None) -> None:
    """Has `explain` print a sentence and give the exit code when JAX aborts this process; None: no more.

    The callback that JAX's client takes for this purpose aborts too, because it cannot pass its error to Python, and
    Python's own signal handlers run too late.
    """
    library = ctypes.CDLL(None)
    if explain is None:
        library.signal(signal.SIGABRT, ctypes.c_void_p(0))
        return
    _handlers.append(ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda _: os._exit(explain())))
    library.signal(signal.SIGABRT, _handlers[-1])
