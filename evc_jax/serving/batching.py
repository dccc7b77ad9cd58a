"""The networks for several requests at once: one thread calls them with the windows of all that wait."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from evc_jax.audio.chunking import WINDOW_FRAMES
from evc_jax.conversion.engine import BATCH_SIZES, ConversionEngine, WindowInputs, batches, concatenate
from evc_jax.features.speaker import EMBEDDING_DIM
from evc_jax.pretrained.bundle import Bundle
from evc_jax.serving.admission import check_deadline

# A request gives its windows in parts of at most this size, so that a long recording does not keep others waiting.
PART_WINDOWS = BATCH_SIZES[-1]


@dataclass(frozen=True, eq=False)
class _Part:
    """Windows of one request, and where their conversion goes."""

    inputs: WindowInputs
    result: Future = field(default_factory=Future)


class BatchingEngine(ConversionEngine):
    """A `ConversionEngine` whose `convert` may be called by several threads, which then share device calls.

    A window's result depends on the batch it shares only by rounding: see `ConversionEngine.convert`.
    """

    def __init__(
        self,
        bundle: Bundle,
        wait_ms: float = 5,
        max_batch: int = 16,
        on_batch: Callable[[int], None] = lambda windows: None,
    ):
        """Starts the thread; `close` ends it.

        Args:
          bundle: whose networks to run.
          wait_ms: how long the first of a batch waits for others.
          max_batch: requests that share a call.
          on_batch: is called with the number of windows of each call.
        """
        super().__init__(bundle)
        self._wait_s = wait_ms / 1000
        self._max_batch = max_batch
        self._on_batch = on_batch
        self._parts: queue.SimpleQueue[_Part | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="batching", daemon=True)
        self._thread.start()

    def convert(self, inputs: WindowInputs) -> Float[np.ndarray, "N T F"]:
        """See `ConversionEngine.convert`; waits for the result.

        Raises:
          ExpiredError: the request's deadline passes between two parts.
        """
        results = []
        for batch in batches(len(inputs)):
            check_deadline()
            arrays = {name: values[batch.first : batch.end] for name, values in inputs.arrays().items()}
            part = _Part(WindowInputs(**arrays))
            self._parts.put(part)
            results.append(part.result.result())
        return np.concatenate(results)

    def compile(self) -> None:
        """Compiles the conversion for every batch size, with and without an emotion."""
        for size in BATCH_SIZES:
            for strength in (0, 1) if self._bundle.has("codegan") else (0,):
                super().convert(self._blank_inputs(size, strength))

    def close(self) -> None:
        """Finishes what waits, then ends the thread; `convert` must not be called any more."""
        self._parts.put(None)
        self._thread.join()

    def _run(self) -> None:
        first = self._parts.get()
        while first is not None:
            parts, following = self._collect(first)
            self._convert_together(parts)
            first = following if following is not None else self._parts.get()

    def _collect(self, first: _Part) -> tuple[list[_Part], _Part | None]:
        """The parts that share a call, and the one after them if it has already arrived."""
        parts, windows = [first], len(first.inputs)
        end = time.monotonic() + self._wait_s
        while len(parts) < self._max_batch and windows < PART_WINDOWS:
            try:
                part = self._parts.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            if part is None:
                self._parts.put(None)  # the thread ends after this batch
                break
            if windows + len(part.inputs) > PART_WINDOWS:
                return parts, part
            parts.append(part)
            windows += len(part.inputs)
        return parts, None

    def _convert_together(self, parts: list[_Part]) -> None:
        try:
            inputs = concatenate([part.inputs for part in parts])
            self._on_batch(len(inputs))
            ends = np.cumsum([len(part.inputs) for part in parts])[:-1]
            results = np.split(super().convert(inputs), ends)
        except Exception as error:  # belongs to the threads that wait
            for part in parts:
                part.result.set_exception(error)
        else:
            for part, result in zip(parts, results, strict=True):
                part.result.set_result(result)

    def _blank_inputs(self, count: int, strength: float) -> WindowInputs:
        mel = np.zeros((count, WINDOW_FRAMES, self._bundle.audio.mel_bands), np.float32)
        return WindowInputs(
            mel=mel,
            rhythm_mel=mel,
            f0=np.zeros((count, WINDOW_FRAMES), np.int32),
            embedding=np.zeros((count, EMBEDDING_DIM), np.float32),
            emotion=np.zeros((count, self.emotion_classes), np.float32),
            strength=np.full(count, strength, np.float32),
            pitch_gain=np.ones(count, np.float32),
        )
