"""A recording read in blocks, for what does not fit into memory as a whole."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evc_jax.audio import io as audio_io
from evc_jax.audio.channels import ChannelStatistics
from evc_jax.audio.decoding import read_blocks
from evc_jax.audio.repair import remove_clicks

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

    def read_mono(self, sample_rate_hz: int) -> Iterator[Float[np.ndarray, " s"]]:
        """Mono float32 blocks at `sample_rate_hz`; the recording is decoded twice, first for channels and offset.

        Both are treated as `audio.io.to_mono` treats them; a click is one beside its block.

        Raises:
          AudioError: see `audio.io.load`.
        """
        import soxr

        statistics: ChannelStatistics | None = None
        samples, rate_hz = 0, 1
        for block, rate_hz in self._decoded():
            statistics = statistics or ChannelStatistics(block.shape[1], rate_hz)
            statistics.add(block)
            samples += len(block)
        audio_io.check_duration(samples, rate_hz)
        assert statistics is not None  # there are samples
        channel = statistics.best_channel()
        offset = statistics.offset(channel)
        stream = soxr.ResampleStream(rate_hz, sample_rate_hz, 1, "float32", audio_io.RESAMPLING_QUALITY)
        for block, _ in self._decoded():
            mono = remove_clicks((audio_io.mix(block, channel) - offset).astype(np.float32), rate_hz)
            yield mono if rate_hz == sample_rate_hz else stream.resample_chunk(mono)
        if rate_hz != sample_rate_hz:
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
