"""Feature extraction of many recordings in worker processes, the same result for any number of them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tqdm

from evc_jax.audio import AudioConfig
from evc_jax.data.recordings import Recording
from evc_jax.errors import DataError, EvcError

# Full scale of the stored 16-bit audio; the pipelines divide by it.
PCM_SCALE = 32767.0
CHUNK_RECORDINGS = 4

# One thread per worker: workers are the parallelism, and sums do not depend on the machine's cores then.
# The accelerator stays with whoever trains.
_WORKER_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}


@dataclasses.dataclass(frozen=True)
class Failure:
    """A recording that could not be used, and why."""

    utterance_id: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Extracted:
    """A recording whose features lie in a file (see `load_arrays`)."""

    recording: Recording
    file: Path


@dataclasses.dataclass(frozen=True)
class _Task:
    source: Path
    destination: Path


def extract_all(
    recordings: Sequence[Recording],
    folder: Path,
    config: AudioConfig,
    embedder: str | Callable[[np.ndarray], np.ndarray] = "jax",
    workers: int | None = None,
    progress: bool = True,
) -> tuple[list[Extracted], list[Failure]]:
    """Writes the features of every recording into `folder`, one file each.

    Args:
      recordings: what to extract.
      folder: existing folder for the files.
      config: audio settings of the extraction.
      embedder: name of the speaker embedder, or a function [S] -> [256] that another process can import.
      workers: number of processes; all cores if None.
      progress: whether to draw a progress bar.

    Returns:
      The usable recordings and the failures, both in the order of `recordings`.

    Raises:
      DataError: a worker process died.
    """
    workers = max(1, min(workers or os.cpu_count() or 1, len(recordings)))
    tasks = [_Task(r.path, folder / f"{i:09d}.npz") for i, r in enumerate(recordings)]
    extracted, failures = [], []
    with _environment(_WORKER_ENVIRONMENT), _pool(workers, config, embedder) as pool:
        outcomes = pool.map(_extract_file, tasks, chunksize=CHUNK_RECORDINGS)
        bar = tqdm.tqdm(outcomes, total=len(tasks), unit="utt", desc="features", disable=not progress)
        try:
            for recording, task, reason in zip(recordings, tasks, bar, strict=True):
                if reason is None:
                    extracted.append(Extracted(recording, task.destination))
                else:
                    failures.append(Failure(recording.utterance_id, reason))
        except concurrent.futures.process.BrokenProcessPool as error:
            raise DataError(
                f"A worker process died during the extraction ({workers} ran at once), which most often means that "
                "memory ran out; use fewer workers."
            ) from error
    return extracted, failures


def load_arrays(file: Path, *names: str) -> dict[str, np.ndarray]:
    """Reads the named arrays of one extracted utterance, all of them when none is named.

    Returns:
      mel [T, F] float32, f0_hz [T] float32, embedding [256] float32, audio [S] int16 (full scale `PCM_SCALE`).
    """
    with np.load(file) as arrays:
        return {name: arrays[name] for name in names or arrays.files}


@contextlib.contextmanager
def _pool(workers: int, config: AudioConfig, embedder) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    # Processes are spawned, not forked: JAX's threads do not survive a fork.
    pool = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(config, embedder)
    )
    try:
        yield pool
    finally:
        # Waits, so that no worker writes into a folder that the caller is about to remove.
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
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


class _Worker:
    """State of a worker process: its settings and its embedder."""

    config: AudioConfig
    embedder: Callable[[np.ndarray], np.ndarray]


def _start_worker(config: AudioConfig, embedder) -> None:
    from evc_jax.speaker import get_embedder

    # Ctrl-C reaches the whole process group; the parent alone ends the run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _Worker.config = config
    _Worker.embedder = staticmethod(get_embedder(embedder) if isinstance(embedder, str) else embedder)


def _exit_with_parent() -> None:
    # A worker holds both ends of its queue and so would wait for ever for a parent that was killed.
    multiprocessing.parent_process().join()
    os._exit(1)


def _extract_file(task: _Task) -> str | None:
    """Extracts one recording; returns why it cannot be used, None if it can."""
    from evc_jax import audio, features

    config = _Worker.config
    try:
        samples = audio.load(task.source, config.sample_rate_hz)
        result = features.extract(samples, config.sample_rate_hz, config, embedder=_Worker.embedder)
    except EvcError as error:
        return str(error)
    except Exception as error:  # A corpus of millions holds files that break a codec in ways nobody foresaw.
        return f"{type(error).__name__}: {error}"
    np.savez(
        task.destination,
        mel=result.mel.astype(np.float32),
        f0_hz=result.f0_hz.astype(np.float32),
        embedding=result.embedding.astype(np.float32),
        audio=np.rint(np.clip(result.audio, -1, 1) * PCM_SCALE).astype(np.int16),
    )
    return None
