"""Reading and writing recordings."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int16

from evc_jax.audio.channels import ChannelStatistics
from evc_jax.audio.decoding import BLOCK_VALUES, naming_errors, read_blocks
from evc_jax.audio.formats import OUTPUT_FORMATS, OutputFormat, check_output
from evc_jax.audio.repair import remove_clicks, remove_offset
from evc_jax.audio.samples import (
    as_finite_float,
    check_duration,
    check_rate,
    check_shape,
    mix,
    samples_of,
)
from evc_jax.errors import AudioError
from evc_jax.files import atomic_file

if TYPE_CHECKING:
    import soundfile

RESAMPLING_QUALITY = "HQ"
# Beyond 4 GB a WAV file needs 64-bit sizes.
MAX_WAV_BYTES = 2**32 - 2**16
_DECODED_S = 8.0  # at once, of samples in memory
_MOST_SAMPLES_AT_ONCE = 16_000  # of more, the encoder of Vorbis overflows its stack
_STEPS_16_BIT = 32768  # from 0 to full scale, as libsndfile reads 16-bit samples
# Full scale of the 16-bit audio that datasets hold.
PCM_SCALE = 32767.0


def load(source: str | os.PathLike | io.IOBase, sample_rate_hz: int) -> Float[np.ndarray, " S"]:
    """Reads a recording of any format, rate and channel count that libsndfile or FFmpeg knows.

    Args:
      source: a path, or an open binary file, which may be a pipe.
      sample_rate_hz: the wanted rate.

    Returns:
      float32 mono samples at `sample_rate_hz`.

    Raises:
      AudioError: the file is missing, empty, no recording, too short, or holds NaN or infinite samples.
    """
    with naming_errors(source):
        whole = AudioReader(source).read()
        assert whole is not None  # there is no limit
        return to_mono(*whole, sample_rate_hz)


@dataclass(frozen=True, eq=False)
class AudioReader:
    """A recording that can be read as often as needed.

    Attributes:
      source: the path of a recording, a seekable binary file, or samples [S] or [S, channels].
      rate_hz: the rate of the samples; a file states its own.

    Raises:
      AudioError: samples of another shape, or without a positive rate.
    """

    source: str | os.PathLike | io.IOBase | np.ndarray
    rate_hz: int = 0

    def __post_init__(self):
        source: Any = self.source
        if isinstance(source, np.ndarray):
            check_shape(source)
            check_rate(self.rate_hz)
        elif not isinstance(source, str | os.PathLike | io.IOBase) and not hasattr(source, "read"):
            kind = type(source).__name__
            raise AudioError(f"a recording is a file's name, an open file or an array of samples, not a {kind}.")

    def read(
        self, limit_s: float = np.inf, limit_values: float = np.inf
    ) -> tuple[Float[np.ndarray, "S channels"], int] | None:
        """All samples and their rate.

        None where the recording lasts longer than `limit_s` or has more samples in all channels together than
        `limit_values`: no more than that is held in memory.

        Raises:
          AudioError: the file is missing, empty, no recording, or holds NaN or infinite samples.
        """
        blocks, samples, rate_hz = [np.zeros((0, 1), np.float32)], 0, self.rate_hz or 1
        for block, rate_hz in self._decoded():
            blocks = [*blocks, block] if samples else [block]
            samples += len(block)
            if samples > limit_s * rate_hz or samples * block.shape[1] > limit_values:
                return None
        return np.concatenate(blocks), rate_hz

    def read_mono(self, sample_rate_hz: int) -> Iterator[Float[np.ndarray, " s"]]:
        """Mono float32 blocks at `sample_rate_hz`; the recording is decoded twice, first for channels and offset.

        Both are treated as `to_mono` treats them; a click is one beside its block.

        Raises:
          AudioError: see `load`.
        """
        import soxr

        statistics: ChannelStatistics | None = None
        samples, rate_hz = 0, 1
        for block, rate_hz in self._decoded():
            statistics = statistics or ChannelStatistics(block.shape[1], rate_hz)
            statistics.add(block)
            samples += len(block)
        check_duration(samples, rate_hz)
        assert statistics is not None  # there are samples
        channel = statistics.best_channel()
        offset = statistics.offset(channel)
        stream = soxr.ResampleStream(rate_hz, sample_rate_hz, 1, "float32", RESAMPLING_QUALITY)
        for block, _ in self._decoded():
            mono = remove_clicks((mix(block, channel) - offset).astype(np.float32), rate_hz)
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
            if isinstance(self.source, io.IOBase) and self.source.seekable():
                self.source.seek(0)
            blocks = read_blocks(self.source)
        for block, rate_hz in blocks:
            check_shape(block)
            yield as_finite_float(block), rate_hz


def to_mono(audio: np.ndarray, rate_hz: int, sample_rate_hz: int) -> Float[np.ndarray, " S"]:
    """Turns an array of samples into float32 mono at `sample_rate_hz`, without a large offset and isolated clicks.

    Mono is the mean of the channels; where that loses the speech it is one channel (see `channels`).

    Args:
      audio: [S] or [S, channels], floating point (full scale 1) or integer (full scale of its type).
      rate_hz: its sample rate.
      sample_rate_hz: the wanted sample rate.

    Raises:
      AudioError: another shape or type, NaN or infinite samples, fewer than `MIN_DURATION_S` seconds.
    """
    import soxr

    audio = samples_of(audio)
    check_rate(rate_hz)
    check_duration(len(audio), rate_hz)
    audio = as_finite_float(audio)
    channel = None
    if audio.ndim == 2 and audio.shape[1] > 1:
        statistics = ChannelStatistics(audio.shape[1], rate_hz)
        for block in np.array_split(audio, max(1, audio.size // BLOCK_VALUES)):
            statistics.add(block)
        channel = statistics.best_channel()
    mono = remove_clicks(remove_offset(mix(audio, channel)), rate_hz)
    if rate_hz != sample_rate_hz:
        mono = soxr.resample(mono, rate_hz, sample_rate_hz, quality=RESAMPLING_QUALITY)
    return np.ascontiguousarray(mono, dtype=np.float32)


def save(
    path: str | os.PathLike,
    audio: Float[np.ndarray, " S"],
    rate_hz: int,
    comment: str = "",
    output_rate_hz: int | None = None,
) -> None:
    """Writes a file in one of `formats.OUTPUT_FORMATS`, whole or not at all; WAV and FLAC have 16 bits.

    Peaks above 1 are scaled down, never wrapped or cut. The comment goes into the file's metadata. `output_rate_hz` is
    the file's sample rate; None is that of the sound.

    Raises:
      AudioError: another suffix, a rate that the format does not know, or a place that cannot be written.
    """
    written_hz = output_rate_hz or rate_hz
    audio = np.concatenate([np.zeros(0, np.float32), *resampled([audio], rate_hz, written_hz)])
    save_blocks(path, [audio], len(audio), float(np.abs(audio).max(initial=0.0)), written_hz, comment)


def resampled(
    blocks: Iterable[Float[np.ndarray, " _"]], rate_hz: int, output_rate_hz: int
) -> Iterator[Float[np.ndarray, " _"]]:
    """Sound in blocks at another sample rate; the samples do not depend on where the blocks begin."""
    if output_rate_hz == rate_hz:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate_hz, output_rate_hz, 1, "float32", RESAMPLING_QUALITY)
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def save_blocks(
    path: str | os.PathLike,
    blocks: Iterable[Float[np.ndarray, " _"]],
    samples: int,
    peak: float,
    rate_hz: int,
    comment: str = "",
) -> None:
    """`save` for sound in blocks of which length and peak are known; a WAV file of more than 4 GB is RF64."""
    import soundfile

    path = check_output(path, rate_hz)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as beside:
            write_blocks(beside, blocks, samples, peak, rate_hz, OUTPUT_FORMATS[path.suffix.lower()], comment)
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(f"{path} cannot be written ({error}); give a place that can.") from error


def write_blocks(
    file: Path | io.BytesIO,
    blocks: Iterable[Float[np.ndarray, " _"]],
    samples: int,
    peak: float,
    rate_hz: int,
    written: OutputFormat,
    comment: str = "",
) -> None:
    """Writes sound to a place on disk or in memory; the arguments are those of `save_blocks`."""
    container = written.container
    if container == "WAV" and 2 * samples > MAX_WAV_BYTES:
        container = "RF64"
    place = os.fsencode(file) if isinstance(file, Path) else file  # soundfile refuses names that are no text
    with open_sound(place, rate_hz, container, written, comment) as sound:
        for block in blocks:
            write_block(sound, block / peak if peak > 1 else block)


def sound_bytes(audio: Float[np.ndarray, " S"], rate_hz: int, written: OutputFormat, comment: str = "") -> bytes:
    """The bytes that `save` writes into a file of this format; peaks above 1 are scaled down."""
    buffer = io.BytesIO()
    write_blocks(buffer, [audio], len(audio), float(np.abs(audio).max(initial=0.0)), rate_hz, written, comment)
    return buffer.getvalue()


def open_sound(
    place: bytes | io.BytesIO, rate_hz: int, container: str, written: OutputFormat, comment: str
) -> soundfile.SoundFile:
    """A mono file to write into with `write_block`."""
    import soundfile

    coding = {"subtype": written.subtype, "format": container, "compression_level": written.compression}
    sound = soundfile.SoundFile(place, "w", rate_hz, 1, **coding)
    if comment:
        sound.comment = comment
    return sound


def write_block(sound: soundfile.SoundFile, block: Float[np.ndarray, " s"]) -> None:
    """Writes samples within full scale; what lies beyond is cut."""
    samples = to_file_samples(block)
    for first in range(0, len(samples), _MOST_SAMPLES_AT_ONCE):
        sound.write(samples[first : first + _MOST_SAMPLES_AT_ONCE])


def to_file_samples(block: Float[np.ndarray, " s"]) -> Int16[np.ndarray, " s"]:
    """Sound as 16-bit files hold it; what lies beyond full scale is cut."""
    # libsndfile would write loud samples one step lower than it reads them.
    steps = np.rint(block * np.float32(_STEPS_16_BIT))
    return np.clip(steps, -_STEPS_16_BIT, _STEPS_16_BIT - 1).astype(np.int16)


def to_pcm(audio: Float[np.ndarray, " S"]) -> Int16[np.ndarray, " S"]:
    """Samples as a dataset stores them; what lies beyond full scale is cut."""
    return np.rint(np.clip(audio, -1, 1) * PCM_SCALE).astype(np.int16)


def from_pcm(pcm: Int16[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
    """The samples that a dataset stores, float32 within [-1, 1]."""
    return pcm.astype(np.float32) / np.float32(PCM_SCALE)
