"""Recordings block by block: resampling, filtering and framing with memory that does not grow with their length.

A stage is called as stage(block, last) and returns what is ready by then. What all its calls return together is what
the whole-file function that it names returns.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from evc_jax.audio import io as audio_io
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import HIGHPASS_ORDER, highpass_design

# What a filter remembers less of than this is forgotten.
_SETTLED = 1e-12


class Resampler:
    """`soxr.resample` as a stage."""

    def __init__(self, from_hz: int, to_hz: int):
        import soxr

        quality = audio_io.RESAMPLING_QUALITY
        self._stream = None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, "float32", quality)

    def __call__(self, block: Float[np.ndarray, " s"], last: bool) -> Float[np.ndarray, " r"]:
        """Takes a float32 block; returns as much at the other rate."""
        return block if self._stream is None else self._stream.resample_chunk(block, last)


def marked(blocks: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Each block, and whether it is the last one."""
    blocks = iter(blocks)
    for held in blocks:
        break
    else:
        return
    for block in blocks:
        yield held, False
        held = block
    yield held, True


class ZeroPhase:
    """`scipy.signal.sosfiltfilt` as a stage, equal but for what the filter has forgotten (1e-12)."""

    def __init__(self, sections: np.ndarray, padding: int):
        """`sections` and `padding` are `sosfiltfilt`'s `sos` and `padlen`."""
        from scipy import signal

        self._sections = sections
        self._padding = padding
        self._steady = signal.sosfilt_zi(sections)
        self._context = _settling_samples(sections)
        self._state: np.ndarray | None = None
        self._received = np.zeros(0)  # until there is enough to start with, later the last samples
        self._forward = np.zeros(0)

    def __call__(self, block: Float[np.ndarray, " s"], last: bool) -> Float[np.ndarray, " r"]:
        """Takes a block; returns float64 samples, which are up to a few tenths of a second behind."""
        received = np.concatenate([self._received, block])
        padding = min(self._padding, len(received) - 1)
        if self._state is None and padding < self._padding and not last:
            self._received = received
            return np.zeros(0)
        if self._state is None:
            before = np.append(2 * received[0] - received[padding:0:-1], received)
            self._run(before, self._steady * before[0])
            self._forward = self._forward[padding:]
        else:
            self._run(block, self._state)
        self._received = received[-(self._padding + 1) :]
        if last:
            return self._finish(2 * received[-1] - received[-2 : -padding - 2 : -1])
        ready = len(self._forward) - self._context
        return self._emit(ready) if ready >= self._context else np.zeros(0)

    def _run(self, samples: np.ndarray, state: np.ndarray) -> None:
        from scipy import signal

        if len(samples):  # SciPy refuses none
            filtered, self._state = signal.sosfilt(self._sections, samples, zi=state)
            self._forward = np.concatenate([self._forward, filtered])

    def _finish(self, after: np.ndarray) -> np.ndarray:
        count = len(self._forward)
        self._run(np.asarray(after, np.float64), self._state)
        return self._emit(count)

    def _emit(self, count: int) -> np.ndarray:
        from scipy import signal

        backward, _ = signal.sosfilt(self._sections, self._forward[::-1], zi=self._steady * self._forward[-1])
        self._forward = self._forward[count:]
        return backward[::-1][:count]


def _settling_samples(sections: np.ndarray) -> int:
    """Samples after which a filter has forgotten how it began."""
    slowest = max(np.abs(np.roots(section[3:])).max() for section in sections)
    return int(np.ceil(np.log(_SETTLED) / np.log(slowest)))


class Conditioner:
    """`audio.condition` as a stage."""

    def __init__(self, config: AudioConfig, seed: int = 0):
        self._config = config
        self._filter = ZeroPhase(*highpass_design(HIGHPASS_ORDER, config.highpass_hz, config.sample_rate_hz))
        self._generator = np.random.default_rng(seed)

    def __call__(self, block: Float[np.ndarray, " s"], last: bool) -> Float[np.ndarray, " r"]:
        """Takes a block; returns float64 samples."""
        return self.finish(self.highpass(block, last))

    def highpass(self, block: Float[np.ndarray, " s"], last: bool) -> Float[np.ndarray, " r"]:
        """Its first half, `audio.highpass`."""
        return self._filter(block, last)

    def finish(self, filtered: Float[np.ndarray, " r"]) -> Float[np.ndarray, " r"]:
        """Its second half: gain and dither."""
        dither = self._config.dither
        return filtered * self._config.gain + self._generator.uniform(-dither, dither, len(filtered))


class Framer:
    """`audio.frame` as a stage."""

    def __init__(self, window: int, hop: int, padding: str = "reflect"):
        """`padding` is the mode of `numpy.pad` by which half a window is put before and after the recording."""
        self._window = window
        self._hop = hop
        self._padding = padding
        self._started = False
        self._held = np.zeros(0)
        self._tail = np.zeros(0)

    def __call__(self, block: Float[np.ndarray, " s"], last: bool) -> Float[np.ndarray, "t window"]:
        """Takes a block; returns the frames that are complete (a view, do not write)."""
        half, padding = self._window // 2, self._padding
        self._held = np.concatenate([self._held, block]) if len(self._held) else block
        self._tail = np.concatenate([self._tail, block])[-(half + 1) :]
        if not self._started and len(self._held) <= half:
            if not last:
                return self._frames(0)
            self._held = np.pad(self._held, half, mode=padding)
        else:
            if not self._started:
                self._held = np.pad(self._held, (half, 0), mode=padding)
            if last:
                self._held = np.append(self._held, np.pad(self._tail, (0, half), mode=padding)[len(self._tail) :])
        self._started = True
        return self._frames(max(0, (len(self._held) - self._window) // self._hop + 1))

    def _frames(self, count: int) -> np.ndarray:
        if not count:
            return np.zeros((0, self._window), self._held.dtype)
        frames = np.lib.stride_tricks.sliding_window_view(self._held, self._window)[:: self._hop][:count]
        self._held = self._held[count * self._hop :]
        return frames


class Spool:
    """Arrays written one after the other and read again in blocks, in a temporary file and not in memory."""

    def __init__(self, dtype: Any, folder: str | os.PathLike | None = None):
        """`folder` is where the file lies, without a name; None is the system's folder for such files."""
        self._dtype = np.dtype(dtype)
        self._file = tempfile.TemporaryFile(dir=folder)
        self.length = 0

    def append(self, values: Shaped[np.ndarray, " n"]) -> None:
        """Adds values at the end."""
        self._file.write(np.ascontiguousarray(values, self._dtype).data)
        self.length += len(values)

    def read(self, size: int = 2**16) -> Iterator[Shaped[np.ndarray, " n"]]:
        """All values, in blocks of at most `size`; several readers may take turns."""
        self._file.flush()
        for start in range(0, self.length, size):
            self._file.seek(start * self._dtype.itemsize)
            count = min(size, self.length - start)
            yield np.frombuffer(self._file.read(count * self._dtype.itemsize), self._dtype)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Deletes the file."""
        self._file.close()
