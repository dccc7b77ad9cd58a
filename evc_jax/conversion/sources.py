"""Where a recording comes from, in blocks and as often as somebody asks: files, arrays, or whoever makes blocks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Shaped

from evc_jax.audio import io as audio_io
from evc_jax.conversion.blocks import Resampler
from evc_jax.errors import AudioError, ConfigError

BLOCK_S = 8.0


@runtime_checkable
class Source(Protocol):
    """A recording that can be read again and again; `name` is for people."""

    name: str

    def read(self) -> Iterator[tuple[Shaped[np.ndarray, "s *channels"], int]]:
        """Blocks of samples, each with its rate, which is the same for all."""

    def duration_s(self) -> float | None:
        """How long it probably is, where that is known beforehand."""


@dataclass(frozen=True)
class FileSource:
    """A file of any format that libsndfile reads."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def read(self) -> Iterator[tuple[Shaped[np.ndarray, "s *channels"], int]]:
        """See `Source.read`.

        Raises:
          AudioError: the file is missing, empty or no recording.
        """
        yield from audio_io.read_blocks(self.path)

    def duration_s(self) -> float | None:
        """As the file's header has it."""
        import soundfile

        try:
            return soundfile.info(self.path).duration
        except (soundfile.SoundFileError, OSError, TypeError):
            return None


@dataclass(frozen=True, eq=False)
class BlockSource:
    """Samples in memory, or blocks of them that somebody makes anew at every iteration.

    Attributes:
      blocks: [S] or [S, channels], or an iterable of such arrays; floating point or integer.
      rate_hz: their rate.
    """

    blocks: np.ndarray | Iterable[np.ndarray]
    rate_hz: int
    name: str = "the recording"

    def __post_init__(self):
        if not isinstance(self.blocks, np.ndarray) and iter(self.blocks) is self.blocks:
            raise ConfigError(
                "The blocks can be read only once, and a conversion hears a recording before it speaks; give a path, "
                "an array, a list or an object whose __iter__ starts anew."
            )

    def read(self) -> Iterator[tuple[Shaped[np.ndarray, "s *channels"], int]]:
        """See `Source.read`."""
        if not isinstance(self.blocks, np.ndarray):
            yield from ((np.asarray(block), self.rate_hz) for block in self.blocks)
            return
        size = max(1, round(BLOCK_S * self.rate_hz))
        for start in range(0, max(1, len(self.blocks)), size):
            yield self.blocks[start : start + size], self.rate_hz

    def duration_s(self) -> float | None:
        """Known of an array only."""
        return len(self.blocks) / self.rate_hz if isinstance(self.blocks, np.ndarray) else None


def open_source(source: str | os.PathLike | Source) -> Source:
    """The source itself, or the file at a path."""
    return FileSource(Path(source)) if isinstance(source, str | os.PathLike) else source


def mono(source: Source, sample_rate_hz: int) -> Iterator[Float[np.ndarray, " s"]]:
    """`audio.as_mono` in blocks.

    Raises:
      AudioError: see `audio.load`; the sentence names the recording.
    """
    try:
        yield from _mono(source, sample_rate_hz)
    except AudioError as error:
        named = str(error).startswith(source.name) or not isinstance(source, FileSource)
        raise error if named else AudioError(f"{source.name}: {error}") from error


def _mono(source: Source, sample_rate_hz: int) -> Iterator[Float[np.ndarray, " s"]]:
    samples, rate_hz, resampler = 0, sample_rate_hz, None
    for block, rate_hz in source.read():
        audio_io.check_shape(block)
        if resampler is None:
            audio_io.check_rate(rate_hz)
            resampler = Resampler(rate_hz, sample_rate_hz)
        samples += len(block)
        yield resampler(audio_io.mix(block).astype(np.float32), False)
    audio_io.check_duration(samples, rate_hz)
    yield resampler(np.zeros(0, np.float32), True)
