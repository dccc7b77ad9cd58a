"""Decodes a recording with FFmpeg, as a process of its own: `python decoder_process.py BLOCK_VALUES < FILE`.

A file may make FFmpeg allocate gigabytes (an MP4 index of 5 kB that claims 80 million packets), crash or never end;
here that ends this process only. It opens nothing but its standard input. `containers.py` starts it and reads what it
writes.

Standard output has records of three numbers, `RECORD`, and what follows them: rate in Hz, channels and bytes, then
interleaved float32 samples. The last record is a status and two zeros. Imports are few: a start takes 0.1 s.
"""

from __future__ import annotations

import contextlib
import io
import struct
import sys
from collections.abc import Iterator
from typing import BinaryIO

RECORD = struct.Struct("=III")
WHOLE, ENDS_EARLY, DAMAGED, NO_AUDIO = range(4)
_MEMORY_BYTES, _CPU_S = 2**30, 3600
# Containers of recordings only: no playlists, nothing that names other files, nothing without a signature.
_FORMATS = (
    "mov matroska asf aac loas amr ogg mp3 flac wav w64 caf aiff au ac3 eac3 dts ape wv tta tak dsf mpc mpc8 rm avi "
    "flv mpegts nistsphere"
).split()
# These state a length; FFmpeg estimates that of others from size and bit rate.
_WITH_LENGTH = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "asf", "caf", "ape", "wv", "tta", "tak")
_LENGTH_TOLERANCE_S = 0.25  # an encoder's delay and padding count in some of them


class _Input:
    """The file without its name, by which FFmpeg would judge its format."""

    def __init__(self, file: BinaryIO):
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


class _Recording:
    """The audio track of an open file; `status` once its blocks have been read."""

    def __init__(self, container, stream):
        self._container, self._stream = container, stream
        self.status = WHOLE

    def _stated_s(self) -> float:
        """The length that the header states, or 0."""
        if self._container.format.name not in _WITH_LENGTH:
            return 0.0
        if self._stream.duration:
            return float(self._stream.duration * self._stream.time_base)
        return (self._container.duration or 0) / 1e6 if len(self._container.streams) == 1 else 0.0

    def _decoded(self) -> Iterator:
        """Frames as they are; packets that cannot be decoded are passed over."""
        packets = self._container.demux(self._stream)
        decoded = failed = False
        while True:
            try:
                frames = next(packets).decode()
            except StopIteration:
                break
            except Exception:
                failed = True
                continue
            for frame in frames:
                if frame.sample_rate <= 0:
                    return
                # Packets that fail before the first frame may be of a stream that was joined midway.
                self.status = DAMAGED if failed and decoded else self.status
                decoded, failed = True, False
                yield frame
        self.status = ENDS_EARLY if failed else self.status

    def _uniform(self) -> Iterator:
        """Frames of interleaved float32 with rate and channels of the first one."""
        import av

        source: tuple | None = None
        rate_hz = layout = resampler = None
        for frame in self._decoded():
            if source != (frame.format.name, frame.layout.name, frame.sample_rate):
                yield from filter(None, resampler.resample(None) if resampler else ())
                source = frame.format.name, frame.layout.name, frame.sample_rate
                rate_hz, layout = rate_hz or frame.sample_rate, layout or frame.layout
                resampler = av.AudioResampler("flt", layout, rate_hz)
            assert resampler is not None
            yield from resampler.resample(frame)
        yield from filter(None, resampler.resample(None) if resampler else ())

    def blocks(self, block_values: int) -> Iterator[tuple[int, int, bytes]]:
        """(rate in Hz, channels, samples) until the end, without the padding of the encoder's last frame.

        FFmpeg drops what the file marks as an encoder's delay: edit lists of MP4, the codec delay and padding of
        WebM, Opus' pre-skip. It leaves the end of the last frame of an MP4. An AAC stream without a container marks
        nothing: its delay, 1024 samples by most encoders, stays.
        """
        block, samples, last = bytearray(), 0, None
        for frame in self._uniform():
            if last is not None:
                block += _bytes_of(last, last.samples)
                samples += last.samples
                if len(block) >= 4 * block_values:
                    yield last.sample_rate, last.layout.nb_channels, bytes(block)
                    block.clear()
            last = frame
        stated_s = self._stated_s()
        if last is not None:
            whole = round(stated_s * last.sample_rate) if "mp4" in self._container.format.name else 0
            kept = whole - samples if samples < whole < samples + last.samples else last.samples
            samples += kept
            block += _bytes_of(last, kept)
            yield last.sample_rate, last.layout.nb_channels, bytes(block)
        if samples / (last.sample_rate if last else 1) < stated_s - _LENGTH_TOLERANCE_S:
            self.status = ENDS_EARLY


def _bytes_of(frame, samples: int) -> bytes:
    return bytes(frame.planes[0])[: 4 * samples * frame.layout.nb_channels]


def _limit_resources(memory_bytes: int) -> None:
    with contextlib.suppress(ImportError):  # Windows
        import resource

        for kind, limit in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, _CPU_S)):
            with contextlib.suppress(ValueError, OSError):  # a lower one is set, or the system has none
                resource.setrlimit(kind, (limit, limit))


def _refuse(url: str, flags: int, options: dict) -> None:
    raise PermissionError(f"{url} is another file")


def main() -> None:
    import av

    file = sys.stdin.buffer
    if not file.seekable():
        file = io.BytesIO(file.read())
    held_bytes = len(file.getbuffer()) if isinstance(file, io.BytesIO) else 0
    file.seek(0)
    _limit_resources(_MEMORY_BYTES + held_bytes)
    options = {"format_whitelist": ",".join(_FORMATS), "protocol_whitelist": "none"}
    with av.open(_Input(file), mode="r", container_options=options, io_open=_refuse) as container:
        stream = container.streams.best("audio")
        status = ENDS_EARLY if container.streams.audio else NO_AUDIO
        if stream is not None:
            recording = _Recording(container, stream)
            for rate_hz, channels, samples in recording.blocks(int(sys.argv[1])):
                sys.stdout.buffer.write(RECORD.pack(rate_hz, channels, len(samples)) + samples)
            status = recording.status
        sys.stdout.buffer.write(RECORD.pack(status, 0, 0))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
