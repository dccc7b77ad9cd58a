"""Windows of concurrent requests in one device call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from evc_jax.conversion.engine import BATCH_SIZES, ConversionEngine, WindowInputs, batches
from evc_jax.pretrained.bundle import Bundle
from evc_jax.serving import deadline
from evc_jax.serving.admission import Cores

# A request gives its windows in parts of at most this size, so that a long recording does not keep others waiting.
PART_WINDOWS = BATCH_SIZES[-1]

Arrays = Sequence[np.ndarray]


@dataclass(frozen=True, eq=False)
class _Waiting:
    """Rows of one caller, and the promise of their result.

    Attributes:
      arrays: the rows.
      kind: only rows of one kind share a call.
      capacity: rows that fit into a call of this kind.
      result: the promise.
    """

    arrays: Arrays
    kind: Hashable
    capacity: int
    result: Future = field(default_factory=Future)

    @property
    def count(self) -> int:
        return len(self.arrays[0])


class Batcher:
    """A thread that calls a function of rows for several callers at once."""

    def __init__(
        self,
        apply: Callable[..., np.ndarray],
        wait_ms: float,
        max_batch: int,
        on_progress: Callable[[int], None],
    ):
        """Starts the thread; `close` ends it.

        Args:
          apply: takes arrays [N, ...] and returns [N, ...], each row of which depends on its own row alone.
          wait_ms: how long the first of a batch waits for others.
          max_batch: callers that share a call.
          on_progress: is told the number of rows of each call.
        """
        self._apply = apply
        self._wait_s = wait_ms / 1000
        self._max_batch = max_batch
        self._on_progress = on_progress
        self._waiting: list[_Waiting] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def __call__(self, *arrays: np.ndarray, kind: Hashable = None, capacity: int = PART_WINDOWS) -> np.ndarray:
        """`apply` of these rows, calculated with those of others of their kind; waits for it."""
        waiting = _Waiting(arrays, kind, capacity)
        with self._changed:
            self._waiting.append(waiting)
            self._changed.notify()
        return waiting.result.result()

    def close(self) -> None:
        """Finishes what waits, then ends."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._collect():
            self._answer(batch)

    def _collect(self) -> list[_Waiting]:
        """Who shares the next call; nobody once it is closed and all are served."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            patience = time.monotonic() + self._wait_s
            while batch := self._sharing():
                full = len(batch) == self._max_batch or sum(each.count for each in batch) >= batch[0].capacity
                if full or self._closed or not self._changed.wait(max(0.0, patience - time.monotonic())):
                    break
            batch = self._sharing()
            self._waiting = [each for each in self._waiting if each not in batch]
        return batch

    def _sharing(self) -> list[_Waiting]:
        """Whoever came first, and those that may join it."""
        batch: list[_Waiting] = []
        rows = 0
        for each in self._waiting:
            fits = not batch or (each.kind == batch[0].kind and rows + each.count <= batch[0].capacity)
            if fits and len(batch) < self._max_batch:
                batch.append(each)
                rows += each.count
        return batch

    def _answer(self, batch: list[_Waiting]) -> None:
        try:
            arrays = [np.concatenate(same) for same in zip(*(each.arrays for each in batch), strict=True)]
            self._on_progress(len(arrays[0]))
            ends = np.cumsum([each.count for each in batch])[:-1]
            results = np.split(self._apply(*arrays), ends)
        except Exception as error:  # whoever waits must hear of it
            for each in batch:
                each.result.set_exception(error)
        else:
            for each, result in zip(batch, results, strict=True):
                each.result.set_result(result)


class BatchingRecoder(ConversionEngine):
    """A `Recoder` whose callers in several threads share device calls.

    Batches of another size are other programs, whose results differ by rounding, which a vocoder makes larger. Where
    results are to be those of `Recoder.convert` to the last bit, only those share a call that would be of this size and
    program without each other, and padding is what they save.
    """

    def __init__(
        self,
        bundle: Bundle,
        wait_ms: float,
        max_batch: int,
        exact: bool,
        cores: Cores,
        on_progress: Callable[[int], None],
    ):
        """See `Batcher`.

        Args:
          bundle, wait_ms, max_batch, on_progress: see there.
          exact: whether to share only what gives the same bits.
          cores: what each caller holds, and lets go of while it waits.
        """
        super().__init__(bundle)
        self._exact = exact
        self._cores = cores
        self._batchers = [
            Batcher(apply, wait_ms, max_batch, on_progress) for apply in (self._convert_arrays, super().move_pitch)
        ]

    def convert(self, inputs: WindowInputs) -> Float[np.ndarray, "N T F"]:
        """See `Recoder.convert`."""
        return self._in_parts(self._batchers[0], list(inputs.arrays().values()), bool(inputs.strength.any()))

    def move_pitch(self, *windows: np.ndarray) -> Int[np.ndarray, "N T"]:
        """See `Recoder.move_pitch`."""
        return self._in_parts(self._batchers[1], windows, False)

    def compile(self, inputs: WindowInputs) -> None:
        """Compiles every batch size, given the inputs of any window."""
        for size in BATCH_SIZES:
            self._convert_arrays(*(np.repeat(values[:1], size, axis=0) for values in inputs.arrays().values()))

    def close(self) -> None:
        """Ends the threads once nobody calls any more."""
        for batcher in self._batchers:
            batcher.close()

    def _convert_arrays(self, *arrays: np.ndarray) -> np.ndarray:
        return super().convert(WindowInputs(*arrays))

    def _in_parts(self, batcher: Batcher, arrays: Arrays, emotional: bool) -> np.ndarray:
        results = []
        self._cores.release()
        try:
            for part in batches(len(arrays[0])):
                deadline.check()
                kind = {"kind": (part.size, emotional), "capacity": part.size} if self._exact else {}
                results.append(batcher(*(values[part.first : part.end] for values in arrays), **kind))
        finally:
            self._cores.acquire(returning=True)
        return np.concatenate(results)
