"""A recording read in blocks, for what does not fit into memory as a whole."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evc_jax.audio import io as audio_io
from evc_jax.audio.channels import ChannelStatistics
from evc_jax.audio.decoding import read_blocks
from evc_jax.audio.repair import OffsetStatistics, remove_clicks

_DECODED_S = 8.0  # decoded at once, from samples in memory


@dataclass(frozen=True, eq=False)
class AudioReader:
    """A recording that can be read as often as needed.

    Attributes:
      source: the path of a file that libsndfile reads, a seekable binary file, or samples [S] or [S, channels].
      rate_hz: the rate of the samples; a file states its own.

    Raises:
      AudioError: samples of another shape, or without a positive rate.
    """

    source: str | os.PathLike | io.IOBase | np.ndarray
    rate_hz: int = 0

    def __post_init__(self):
        if isinstance(self.source, np.ndarray):
            audio_io.check_shape(self.source)
            audio_io.check_rate(self.rate_hz)

    def duration_s(self) -> float | None:
        """The duration that the file's header states, for a progress bar; None where it states none."""
        import soundfile

        if isinstance(self.source, np.ndarray):
            return len(self.source) / self.rate_hz
        if isinstance(self.source, io.IOBase):
            return None
        try:
            stated_s = soundfile.info(os.fsencode(self.source)).duration
        except (soundfile.SoundFileError, OSError, TypeError):
            return None
        return stated_s if 0 < stated_s < 1e7 else None

    def load(self, sample_rate_hz: int, limit_s: float = np.inf) -> Float[np.ndarray, " S"] | None:
        """The whole recording as `audio.io.to_mono` gives it; None where it lasts longer than the limit.

        Raises:
          AudioError: see `audio.io.load`.
        """
        if isinstance(self.source, np.ndarray):
            is_long = len(self.source) > limit_s * self.rate_hz
            return None if is_long else audio_io.to_mono(self.source, self.rate_hz, sample_rate_hz)
        if isinstance(self.source, io.IOBase):
            self.source.seek(0)
        whole = audio_io.read(self.source, limit_s)
        return None if whole is None else audio_io.to_mono(*whole, sample_rate_hz)

    def read_mono(self, sample_rate_hz: int, block_samples: int) -> Iterator[Float[np.ndarray, " s"]]:
        """Mono float32 blocks of `block_samples` samples at `sample_rate_hz`, the last one shorter.

        Channels and offset are treated as `audio.io.to_mono` treats them; a click is one beside its block.

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

    @functools.cached_property
    def _mixing(self) -> tuple[int | None, float]:
        """The channel to take (None for the mean of all) and the offset to subtract, of the whole recording."""
        statistics: ChannelStatistics | None = None
        samples, rate_hz = 0, 1
        for block, rate_hz in self._decoded():
            statistics = statistics or ChannelStatistics(block.shape[1], rate_hz)
            statistics.add(block)
            samples += len(block)
        audio_io.check_duration(samples, rate_hz)
        channel = statistics.best_channel() if statistics is not None else None
        offset = OffsetStatistics()
        for block, _ in self._decoded():
            offset.add(audio_io.mix(block, channel))
        return channel, offset.offset()

    def _resampled(self, sample_rate_hz: int) -> Iterator[Float[np.ndarray, " s"]]:
        import soxr

        channel, offset = self._mixing
        stream = None
        for block, rate_hz in self._decoded():
            mono = remove_clicks((audio_io.mix(block, channel) - offset).astype(np.float32), rate_hz)
            if rate_hz == sample_rate_hz:
                yield mono
                continue
            if stream is None:
                stream = soxr.ResampleStream(rate_hz, sample_rate_hz, 1, "float32", audio_io.RESAMPLING_QUALITY)
            yield stream.resample_chunk(mono)
        if stream is not None:
            yield stream.resample_chunk(np.zeros(0, np.float32), last=True)

    def _decoded(self) -> Iterator[tuple[Float[np.ndarray, "s channels"], int]]:
        blocks: Iterator[tuple[np.ndarray, int]]
        if isinstance(self.source, np.ndarray):
            size = max(1, round(_DECODED_S * self.rate_hz))
            parts = (self.source[first : first + size] for first in range(0, len(self.source), size))
            blocks = ((part.reshape(len(part), -1), self.rate_hz) for part in parts)
        else:
            if isinstance(self.source, io.IOBase):
                self.source.seek(0)
            blocks = read_blocks(self.source)
        for block, rate_hz in blocks:
            audio_io.check_shape(block)
            yield audio_io.as_finite_float(block), rate_hz
