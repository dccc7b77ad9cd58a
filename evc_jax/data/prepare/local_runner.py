"""The runners of a preparation: processes of this machine (here) or Apache Beam (`beam_runner.py`).

A runner calls a function on every item, for the files it writes. Functions and items are picklable and small.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from evc_jax.errors import DataError

LOCAL = "local"
BEAM_RUNNERS = ("DirectRunner", "FlinkRunner", "SparkRunner", "DataflowRunner")

# One thread per worker: workers are the parallelism, and sums do not depend on the machine's cores then.
# The accelerator stays free for a training.
WORKER_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # glibc's: arrays of one recording take the place of the last one's; new pages cost more than a filter's pass.
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
}

# Calls a function on every item (with a number of `utterances`); so many utterances were done before, the label is for
# the progress bar.
Runner = Callable[[Callable[[Any], None], Sequence[Any], int, str], None]


@contextlib.contextmanager
def local_runner(workers: int | None, progress: bool) -> Iterator[Runner]:
    """Starts worker processes, all cores' if `workers` is None, and ends them with the block."""
    import tqdm

    workers = workers or os.cpu_count() or 1

    def run(function: Callable[[Any], None], items: Sequence[Any], done: int, label: str) -> None:
        futures = {executor.submit(function, item): item.utterances for item in items}
        total = done + sum(futures.values())
        with tqdm.tqdm(total=total, initial=done, unit="utt", desc=label, disable=not progress) as bar:
            try:
                for future in concurrent.futures.as_completed(futures):
                    future.result()
                    bar.update(futures.pop(future))
            except concurrent.futures.process.BrokenProcessPool as error:
                raise DataError(
                    f"A worker process died ({workers} ran at once), which most often means that memory ran out; run "
                    "the same command with fewer workers, and it goes on where it stood."
                ) from error

    with worker_pool(workers) as executor:
        yield run


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[concurrent.futures.Executor]:
    """So many processes of `WORKER_ENVIRONMENT`, which end with the block or with this process, however it ends."""
    # Processes are spawned, not forked: JAX's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    executor = concurrent.futures.ProcessPoolExecutor(workers, context, _start_worker, (reader,))
    with environment(WORKER_ENVIRONMENT), writer:
        try:
            yield executor
        except BaseException:
            # Workers end at once: finished files are kept, unfinished ones are removed.
            writer.close()
            raise
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Sets environment variables for the block."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


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
