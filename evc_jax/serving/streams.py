"""Sound to bytes while it is made: WAV whose length nobody knows yet, and Opus or Vorbis in Ogg."""

from __future__ import annotations

import io
import struct

import numpy as np
from jaxtyping import Float

from evc_jax.audio.formats import OUTPUT_FORMATS
from evc_jax.audio.io import open_sound, to_file_samples, write_block
from evc_jax.serving.recordings import Container

STREAMED: tuple[Container, ...] = ("wav", "ogg", "opus")
_UNKNOWN_BYTES = 2**32 - 1
_FADE_S = 0.03  # of a change of the level


class Limiter:
    """Scales down from the first peak above 1 on, where a file would be scaled down as a whole."""

    def __init__(self, rate_hz: int):
        self._gain = 1.0
        self._fade = round(_FADE_S * rate_hz)

    def __call__(self, audio: Float[np.ndarray, " s"]) -> Float[np.ndarray, " s"]:
        """A block whose samples lie within 1; the gain moves at its beginning, and never up again."""
        before, peak = self._gain, float(np.abs(audio).max(initial=0.0))
        self._gain = min(before, 1 / peak if peak > 0 else before)
        gains = np.full(len(audio), self._gain, np.float32)
        fade = min(self._fade, len(audio))
        gains[:fade] = np.linspace(before, self._gain, fade, endpoint=False)
        return np.clip(audio * gains, -1, 1)


class WavStream:
    """16-bit WAV whose header gives the largest sizes there are, as programs write it into pipes."""

    def __init__(self, rate_hz: int, comment: str = ""):
        text = comment.encode("ascii", "replace") + b"\0"
        text += b"\0" * (len(text) % 2)
        info = struct.pack("<4s4sI", b"INFO", b"ICMT", len(text)) + text
        self._header = struct.pack("<4sI4s", b"RIFF", _UNKNOWN_BYTES, b"WAVE")
        self._header += struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)
        self._header += struct.pack("<4sI", b"LIST", len(info)) + info if comment else b""
        self._header += struct.pack("<4sI", b"data", _UNKNOWN_BYTES)
        self._limit = Limiter(rate_hz)

    def add(self, audio: Float[np.ndarray, " s"]) -> bytes:
        """See `open_stream`."""
        samples = to_file_samples(self._limit(audio)).astype("<i2").tobytes()
        header, self._header = self._header, b""
        return header + samples

    def end(self) -> bytes:
        """See `open_stream`."""
        header, self._header = self._header, b""
        return header


class OggStream:
    """Opus or Vorbis in Ogg, whose pages libsndfile writes one after the other and never changes again."""

    def __init__(self, rate_hz: int, container: Container, comment: str = ""):
        self._limit = Limiter(rate_hz)
        self._written, self._sent = io.BytesIO(), 0
        written = OUTPUT_FORMATS[f".{container}"]
        self._file = open_sound(self._written, rate_hz, written.container, written, comment)

    def add(self, audio: Float[np.ndarray, " s"]) -> bytes:
        """See `open_stream`."""
        write_block(self._file, self._limit(audio))
        return self._new()

    def end(self) -> bytes:
        """See `open_stream`."""
        self._file.close()
        return self._new()

    def _new(self) -> bytes:
        first, self._sent = self._sent, self._written.tell()
        return bytes(self._written.getbuffer()[first:])


def open_stream(rate_hz: int, container: Container, comment: str = "") -> WavStream | OggStream:
    """A stream of mono sound at `rate_hz`; `container` is one of `STREAMED`, the comment goes into its metadata.

    `add` takes blocks and returns the bytes that are ready, perhaps none; `end` returns the rest.
    """
    return WavStream(rate_hz, comment) if container == "wav" else OggStream(rate_hz, container, comment)
