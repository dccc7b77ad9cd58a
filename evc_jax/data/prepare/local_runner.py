"""The runners of a preparation: processes of this machine (here) or Apache Beam (`beam_runner.py`).

A runner has two methods. `for_each` calls a function on every item, for the files it writes; `pool` gathers values by
key, as a map and a reduction do. Functions and items are picklable and small, results are files.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, Protocol, runtime_checkable

from evc_jax.errors import DataError

LOCAL = "local"
BEAM_RUNNERS = ("DirectRunner", "FlinkRunner", "SparkRunner", "DataflowRunner")
# Some two kilobytes each; more samples than that are gathered in several passes.
SAMPLES_AT_ONCE = 500_000

# One thread per worker: workers are the parallelism, and sums do not depend on the machine's cores then.
# The accelerator stays free for a training.
WORKER_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}

Emit = Callable[[Any], Iterable[tuple[str, Any]]]
Reduce = Callable[[str, Iterable[Any]], Any]
Save = Callable[[int, Iterable[Any]], None]


@runtime_checkable
class Runner(Protocol):
    """Calls functions on items, somewhere."""

    def for_each(self, function: Callable[[Any], None], items: Sequence[Any], done: int, label: str) -> None:
        """Calls the function on every item (with a number of `utterances`); `done` utterances were before."""

    def pool(self, emit: Emit, reduce: Reduce, save: Save, items: Sequence[Any]) -> None:
        """Emits (key, value) pairs from every item, reduces each key's values, saves the results in parts."""


class LocalRunner:
    """Processes of this machine."""

    def __init__(self, executor: concurrent.futures.Executor, workers: int, progress: bool):
        self._executor, self._workers, self._progress = executor, workers, progress

    def for_each(self, function: Callable[[Any], None], items: Sequence[Any], done: int, label: str) -> None:
        import tqdm

        futures = {self._executor.submit(function, item): item for item in items}
        total = done + sum(item.utterances for item in items)
        bar = tqdm.tqdm(total=total, initial=done, unit="utt", desc=label, disable=not self._progress)
        with bar:
            try:
                for future in concurrent.futures.as_completed(futures):
                    future.result()
                    bar.update(futures.pop(future).utterances)
            except concurrent.futures.process.BrokenProcessPool as error:
                raise DataError(
                    f"A worker process died ({self._workers} ran at once), which most often means that memory ran "
                    "out; run the same command with fewer workers, and it goes on where it stood."
                ) from error

    def pool(self, emit: Emit, reduce: Reduce, save: Save, items: Sequence[Any]) -> None:
        parts = -(-sum(item.utterances for item in items) // SAMPLES_AT_ONCE)
        for part in range(parts):
            values = defaultdict(list)
            for item in items:
                for key, value in emit(item):
                    if part_of(key, parts) == part:
                        values[key].append(value)
            if values:
                save(part, [reduce(key, values[key]) for key in sorted(values)])


def part_of(key: str, parts: int) -> int:
    """Which of the parts a key belongs to, the same in every process."""
    return zlib.crc32(key.encode()) % parts


@contextlib.contextmanager
def local_runner(workers: int | None, progress: bool) -> Iterator[LocalRunner]:
    """Starts worker processes, all cores' if `workers` is None, and ends them with the block."""
    workers = workers or os.cpu_count() or 1
    # Processes are spawned, not forked: JAX's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    executor = concurrent.futures.ProcessPoolExecutor(workers, context, _start_worker, (reader,))
    with environment(WORKER_ENVIRONMENT), writer:
        try:
            yield LocalRunner(executor, workers, progress)
        except BaseException:
            # Workers end at once: finished files are kept, unfinished ones are removed.
            writer.close()
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Sets environment variables for the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker(alive: Connection) -> None:
    # Ctrl-C reaches the whole process group; the parent alone ends the run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(alive,), daemon=True).start()


def _exit_with_parent(alive: Connection) -> None:
    # The pipe closes when the parent fails or is killed. A worker would notice neither, as it holds both ends of its
    # queue; and `sys.exit` would end this thread only, while an executor has no way to stop a running call before
    # Python 3.14 (`kill_workers`).
    alive.poll(None)
    os._exit(1)
