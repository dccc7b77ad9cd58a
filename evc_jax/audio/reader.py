"""A recording read in blocks, for what does not fit into memory as a whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evc_jax.audio import io as audio_io
from evc_jax.errors import AudioError

_DECODED_S = 8.0  # decoded at once


@dataclass(frozen=True, eq=False)
class AudioReader:
    """A recording that can be read as often as needed.

    Attributes:
      source: the path of a file that libsndfile reads, or samples [S] or [S, channels].
      rate_hz: the rate of the samples; a file states its own.

    Raises:
      AudioError: samples of another shape, or without a positive rate.
    """

    source: str | os.PathLike | np.ndarray
    rate_hz: int = 0

    def __post_init__(self):
        if isinstance(self.source, np.ndarray):
            audio_io.check_shape(self.source)
            audio_io.check_rate(self.rate_hz)

    def duration_s(self) -> float | None:
        """The duration that the file's header states; None where it states none."""
        import soundfile

        if isinstance(self.source, np.ndarray):
            return len(self.source) / self.rate_hz
        try:
            return soundfile.info(self.source).duration
        except (soundfile.SoundFileError, OSError, TypeError):
            return None

    def load(self, sample_rate_hz: int) -> Float[np.ndarray, " S"]:
        """The whole recording; see `audio.io.load` and `audio.io.to_mono`."""
        if isinstance(self.source, np.ndarray):
            return audio_io.to_mono(self.source, self.rate_hz, sample_rate_hz)
        return audio_io.load(self.source, sample_rate_hz)

    def read_mono(self, sample_rate_hz: int, block_samples: int) -> Iterator[Float[np.ndarray, " s"]]:
        """Mono float32 blocks of `block_samples` samples at `sample_rate_hz`, the last one shorter.

        Raises:
          AudioError: see `audio.io.load`.
        """
        held = np.zeros(0, np.float32)
        for part in self._resampled(sample_rate_hz):
            held = np.concatenate([held, part])
            while len(held) >= block_samples:
                yield held[:block_samples]
                held = held[block_samples:]
        if len(held):
            yield held

    @contextlib.contextmanager
    def naming_errors(self) -> Iterator[None]:
        """Puts the file's name before the sentence of an AudioError that lacks it."""
        try:
            yield
        except AudioError as error:
            if isinstance(self.source, np.ndarray) or str(self.source) in str(error):
                raise
            raise AudioError(f"{self.source}: {error}") from error

    def _resampled(self, sample_rate_hz: int) -> Iterator[Float[np.ndarray, " s"]]:
        import soxr

        samples, stream, rate_hz = 0, None, sample_rate_hz
        for block, rate_hz in self._decoded():
            samples += len(block)
            mono = audio_io.mix(block).astype(np.float32)
            if rate_hz == sample_rate_hz:
                yield mono
                continue
            if stream is None:
                stream = soxr.ResampleStream(rate_hz, sample_rate_hz, 1, "float32", audio_io.RESAMPLING_QUALITY)
            yield stream.resample_chunk(mono)
        audio_io.check_duration(samples, rate_hz)
        if stream is not None:
            yield stream.resample_chunk(np.zeros(0, np.float32), last=True)

    def _decoded(self) -> Iterator[tuple[np.ndarray, int]]:
        import soundfile

        if isinstance(self.source, np.ndarray):
            size = max(1, round(_DECODED_S * self.rate_hz))
            yield from ((self.source[i : i + size], self.rate_hz) for i in range(0, len(self.source), size))
            return
        path = audio_io.check_file(self.source)
        try:
            with soundfile.SoundFile(path) as file:
                for block in file.blocks(round(_DECODED_S * file.samplerate), dtype="float32", always_2d=True):
                    yield block, file.samplerate
        except (soundfile.SoundFileError, OSError, TypeError) as error:
            raise audio_io.unreadable(path) from error
