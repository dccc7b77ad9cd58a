"""The networks for several requests at once: one thread calls them with windows of several requests."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from evc_jax.audio.chunking import WINDOW_FRAMES
from evc_jax.conversion.engine import BATCH_SIZES, ConversionEngine, WindowInputs, batches, concatenate
from evc_jax.features import EMBEDDING_DIM
from evc_jax.pretrained.bundle import Bundle
from evc_jax.serving.admission import check_deadline


@dataclass(frozen=True, eq=False)
class _Part:
    """Windows of one request; parts of equal `size` and `emotional` run through the same compiled program."""

    inputs: WindowInputs
    size: int  # the compiled batch size that the part has without others; see `engine.batches`
    emotional: bool  # whether CodeGAN takes part
    result: Future = field(default_factory=Future)


class BatchingEngine(ConversionEngine):
    """A `ConversionEngine` whose `convert` may be called by several threads, which then share device calls.

    Programs of another batch size differ by rounding, which Griffin-Lim amplifies. So a part keeps the size that it has
    alone, and parts of other requests only fill its padding: results equal those of `ConversionEngine`, bit for bit.
    """

    def __init__(
        self,
        bundle: Bundle,
        wait_ms: float = 5,
        max_batch: int = 16,
        on_batch: Callable[[int], object] = lambda windows: None,
    ):
        """Starts the thread; `close` ends it.

        The first of at most `max_batch` requests waits `wait_ms` for others; `on_batch` is called with the number of
        windows of each call.
        """
        super().__init__(bundle)
        self._wait_s = wait_ms / 1000
        self._max_batch = max_batch
        self._on_batch = on_batch
        self._waiting: list[_Part] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="batching", daemon=True)
        self._thread.start()

    def convert(self, inputs: WindowInputs) -> Float[np.ndarray, "N T F"]:
        """See `ConversionEngine.convert`; raises ExpiredError if the request's deadline passes between two parts."""
        results = []
        emotional = bool(inputs.strength.any())
        for windows, size in batches(len(inputs)):
            check_deadline()
            arrays = {name: values[windows] for name, values in vars(inputs).items()}
            part = _Part(WindowInputs(**arrays), size, emotional)
            with self._changed:
                self._waiting.append(part)
                self._changed.notify()
            results.append(part.result.result())
        return np.concatenate(results)

    def compilations(self) -> Iterator[Callable[[], object]]:
        """Calls that compile the conversion, one for every batch size, with and without an emotion."""
        for size in BATCH_SIZES:
            for strength in (0, 1) if self._bundle.has("codegan") else (0,):
                yield functools.partial(super().convert, self._blank_inputs(size, strength))

    def close(self) -> None:
        """Finishes what waits, then ends the thread; `convert` must not be called any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while parts := self._collect():
            self._convert_together(parts)

    def _collect(self) -> list[_Part]:
        """The parts that share the next call; none once the engine is closed and all are converted."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._changed.wait_for(lambda: self._closed or self._is_full(self._sharing()), self._wait_s)
            parts = self._sharing()
            for part in parts:
                self._waiting.remove(part)
        return parts

    def _sharing(self) -> list[_Part]:
        """The part that arrived first, and those that fit into its padding."""
        parts: list[_Part] = []
        left = self._waiting[0].size if self._waiting else 0
        for part in self._waiting:
            same_program = (part.size, part.emotional) == (self._waiting[0].size, self._waiting[0].emotional)
            if same_program and len(part.inputs) <= left and len(parts) < self._max_batch:
                parts.append(part)
                left -= len(part.inputs)
        return parts

    def _is_full(self, parts: list[_Part]) -> bool:
        return len(parts) == self._max_batch or sum(len(part.inputs) for part in parts) == parts[0].size

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
            emotion=np.zeros((count, WINDOW_FRAMES, self.emotion_classes), np.float32),
            strength=np.full((count, WINDOW_FRAMES), strength, np.float32),
            pitch_gain=np.ones(count, np.float32),
        )
