"""Sound to bytes while it is made: WAV whose length nobody knows yet, and Opus in Ogg."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.serving.recordings import Container

STREAMED: tuple[Container, ...] = ("wav", "opus")
_UNKNOWN_BYTES = 2**32 - 1
_FADE_S = 0.03  # of a change of the level
_STEPS_16_BIT = 32768


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
        steps = np.rint(self._limit(audio) * np.float32(_STEPS_16_BIT))
        samples = np.clip(steps, -_STEPS_16_BIT, _STEPS_16_BIT - 1).astype("<i2").tobytes()
        header, self._header = self._header, b""
        return header + samples

    def end(self) -> bytes:
        """See `open_stream`."""
        header, self._header = self._header, b""
        return header


class OpusStream:
    """Opus in Ogg by FFmpeg, of which libsndfile writes whole files only; pages of half a second."""

    def __init__(self, rate_hz: int, comment: str = ""):
        import av

        self._rate_hz = rate_hz
        self._limit = Limiter(rate_hz)
        self._written = _Collector()
        options = {"page_duration": "500000"}
        self._container = av.open(self._written, "w", format="ogg", container_options=options)
        self._stream: Any = self._container.add_stream("libopus", rate=48000, layout="mono")
        self._stream.bit_rate = 48000
        if comment:
            self._stream.metadata["comment"] = comment
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=48000)
        self._samples = 0

    def add(self, audio: Float[np.ndarray, " s"]) -> bytes:
        """See `open_stream`."""
        import av

        if len(audio):
            frame = av.AudioFrame.from_ndarray(self._limit(audio)[None].astype(np.float32), "flt", "mono")
            frame.sample_rate, frame.pts = self._rate_hz, self._samples
            self._samples += len(audio)
            self._encode(frame)
        return self._written.take()

    def end(self) -> bytes:
        """See `open_stream`."""
        self._encode(None)
        self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._written.take()

    def _encode(self, frame: Any) -> None:
        for resampled in self._resampler.resample(frame):
            self._container.mux(self._stream.encode(resampled))


def open_stream(rate_hz: int, container: Container, comment: str = "") -> WavStream | OpusStream:
    """A stream of mono sound at `rate_hz`; `container` is one of `STREAMED`, the comment goes into its metadata.

    `add` takes blocks and returns the bytes that are ready, perhaps none; `end` returns the rest.
    """
    return WavStream(rate_hz, comment) if container == "wav" else OpusStream(rate_hz, comment)


class _Collector:
    """What FFmpeg writes into: no file, so that it never goes back to what was sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """As a file's."""
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
