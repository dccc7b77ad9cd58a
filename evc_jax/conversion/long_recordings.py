"""Conversion of recordings of any length: a short one is one segment, a long one is cut in its pauses into many.

A first pass over a long recording finds its pauses, and an excerpt of its speech. Level, F0 statistics and speaker
embedding of the excerpt are those of all segments. Each segment goes through the ordinary conversion with some context
on both sides; the outputs are joined by short cross-fades inside the pauses. The power of each frame, 1 MB an hour, is
all that grows with the length.
"""

from __future__ import annotations

import functools
import operator
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

from evc_jax.audio import io as audio_io
from evc_jax.audio import loudness
from evc_jax.audio.chunking import delay_in_phase
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.decoding import naming_errors
from evc_jax.audio.mel import frame_powers, frame_signal, highpass
from evc_jax.audio.pauses import Segment, cut_at_pauses
from evc_jax.audio.reader import AudioReader
from evc_jax.conversion.converter import Conversion, Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import AudioError
from evc_jax.features import extract as extraction
from evc_jax.features.extract import Features
from evc_jax.features.f0_codes import LogF0Statistics, log_f0_statistics
from evc_jax.features.time_warp import samples_at_rate

WHOLE_S = 120.0  # a recording up to this is one segment
# Converted on both sides of a segment, then dropped: pauses of up to twice this duration are complete in both segments.
CONTEXT_S = 0.5
FADE_S = 0.03
LOWEST_PERIOD_S = 1 / 65  # a segment that begins in speech is delayed by up to this, until it continues in phase
EXCERPT_PIECE_S = 5.0
EXCERPT_PIECES = 24  # even; an excerpt has at least half as many
_BAR = "{desc} {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} s [{elapsed}, {remaining} left]"
_active_frames = operator.itemgetter(0)  # of a piece of an excerpt

Source = str | os.PathLike | AudioReader


@dataclass(frozen=True, eq=False)
class RecordingStats:
    """What the segments of a recording share.

    Attributes:
      samples: length of the recording at the config's rate.
      active: frames within `loudness.ACTIVE_RANGE_DB` of the loudest one.
      segments: they tile the recording.
      level_gain, embedding: see `features.extract.Features`; of the excerpt.
      statistics: of the excerpt's F0.
    """

    samples: int
    active: Bool[np.ndarray, " T"]
    segments: list[Segment]
    level_gain: float
    embedding: Float[np.ndarray, " E"]
    statistics: LogF0Statistics


def stream_convert(
    converter: Converter, source: Source, options: ConversionOptions | None = None
) -> Iterator[Float[np.ndarray, " s"]]:
    """Converts a recording of any length and yields the sound segment by segment.

    Args:
      converter: the converter of a bundle.
      source: path of a recording, or a reader of samples in memory.
      options: see `ConversionOptions`; the default rebuilds the source.

    Returns:
      float32 mono blocks at `converter.sample_rate_hz` and the source's level, together as long as the source divided
      by the requested rate. Peaks may lie above 1.

    Raises:
      EvcError: the recording, an option or the bundle does not allow it; the message says what to do.
    """
    return (conversion.audio for conversion in convert_segments(converter, source, options))


def convert_recording(converter: Converter, source: Source, options: ConversionOptions | None = None) -> Conversion:
    """Converts a recording of any length in memory; see `stream_convert`."""
    parts = list(convert_segments(converter, source, options))
    sources = [part.source for part in parts]
    features = replace(
        sources[0],
        audio=np.concatenate([part.audio for part in sources]),
        mel=np.concatenate([part.mel for part in sources]),
        f0_hz=np.concatenate([part.f0_hz for part in sources]),
    )
    sound, mel = (np.concatenate(found) for found in zip(*((part.audio, part.mel) for part in parts), strict=True))
    return replace(parts[0], source=features, audio=sound, mel=mel)


def convert_file(
    converter: Converter,
    source: Source,
    destination: str | os.PathLike,
    options: ConversionOptions | None = None,
    progress: bool = True,
) -> float:
    """Converts a recording of any length into a 16-bit WAV or FLAC file, which is written whole or not at all.

    The sound is in a temporary file beside the destination, 230 MB an hour at 16 kHz, until its peak is known: peaks
    above 1 are scaled down as in `audio.io.save`.

    Args:
      converter, source, options: see `stream_convert`.
      destination: file to write; a WAV file of more than 4 GB is written as RF64.
      progress: whether to draw a progress bar for a recording of several segments.

    Returns:
      the duration of the output in seconds.

    Raises:
      EvcError: see `stream_convert`, or the destination cannot be written.
    """
    path, reader = audio_io.check_output(destination), _reader(source)
    samples, peak, rate_hz = 0, 0.0, converter.sample_rate_hz
    conversions = convert_segments(converter, reader, options)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent) as spool, _progress_bar(reader, progress) as bar:
            for conversion in conversions:
                spool.write(np.ascontiguousarray(conversion.audio).data)
                samples += len(conversion.audio)
                peak = max(peak, float(np.abs(conversion.audio).max(initial=0.0)))
                bar.update(len(conversion.source.audio) / rate_hz)
            spool.seek(0)
            blocks = (np.frombuffer(block, np.float32) for block in iter(functools.partial(spool.read, 2**20), b""))
            audio_io.save_blocks(path, blocks, samples, peak, rate_hz)
    except OSError as error:
        raise AudioError(f"{path} cannot be written ({error}); give a place that can.") from error
    return samples / rate_hz


def convert_segments(
    converter: Converter, source: Source, options: ConversionOptions | None = None
) -> Iterator[Conversion]:
    """The conversion of a recording segment by segment; arguments and errors are those of `stream_convert`."""
    options = options or ConversionOptions()
    options.check(converter.bundle)
    return _convert_segments(converter, _reader(source), options)


def _convert_segments(converter: Converter, reader: AudioReader, options: ConversionOptions) -> Iterator[Conversion]:
    config, rate_hz = converter.bundle.audio, converter.bundle.audio.sample_rate_hz
    with naming_errors(reader.source):
        whole = reader.load(rate_hz, WHOLE_S)
        stats = analyse(reader, config) if whole is None else converter.extract(whole, rate_hz)
    if isinstance(stats, Features):
        yield converter.convert_features(stats, options)
        return
    embedding, tail = stats.embedding, np.zeros(0, np.float32)
    for segment, first, samples in _read_segments(reader, stats, config):
        features = extraction.extract(samples, rate_hz, config, lambda _: embedding, stats.level_gain)
        # Frames that are not loud beside the whole recording are unvoiced.
        active = stats.active[first // config.hop_samples :][: len(features.f0_hz)]
        features = replace(features, f0_hz=np.where(active, features.f0_hz, np.float32(0)))
        conversion = converter.convert_features(features, options, stats.statistics)
        conversion, tail = _join(conversion, segment, first, tail, stats.samples, options.rate)
        yield conversion


def analyse(reader: AudioReader, config: AudioConfig) -> RecordingStats:
    """The first pass over a recording.

    Raises:
      AudioError: the recording is malformed, too short or silent.
    """
    hop, rate_hz, samples, excerpt, parts = config.hop_samples, config.sample_rate_hz, 0, _Excerpt(), []
    for block in reader.read_mono(rate_hz, round(EXCERPT_PIECE_S * rate_hz / hop) * hop):
        frames = frame_signal(highpass(block, config), config.window_samples, hop)
        parts.append((frame_powers(frames) / config.window_samples).astype(np.float32))
        excerpt.add(block, parts[-1])
        samples += len(block)
    powers = np.concatenate([*(part[:-1] for part in parts), parts[-1][-1:]])
    active = powers > loudness.active_threshold(powers)
    segments = cut_at_pauses(powers, active, samples, config)
    features = extraction.extract(excerpt.samples(), rate_hz, config)
    known = features.level_gain, features.embedding, log_f0_statistics(features.f0_hz)
    return RecordingStats(samples, active, segments, *known)


class _Excerpt:
    """Evenly spread pieces of a recording whose length is not known: of each stretch the one with most speech."""

    def __init__(self):
        self._pieces: list[tuple[int, np.ndarray]] = []  # active frames and samples, for each stretch
        self._seen, self._stride, self._loudest = 0, 1, 0.0

    def add(self, samples: np.ndarray, powers: np.ndarray) -> None:
        """Takes the next piece and the powers of its frames."""
        self._loudest = max(self._loudest, float(powers.max()))
        active = int((powers > self._loudest * 10 ** (-loudness.ACTIVE_RANGE_DB / 10)).sum())
        same_stretch = [self._pieces.pop()] if self._seen % self._stride else []
        self._pieces.append(max([*same_stretch, (active, samples)], key=_active_frames))
        self._seen += 1
        if len(self._pieces) == EXCERPT_PIECES and self._seen % self._stride == 0:
            pairs = zip(self._pieces[::2], self._pieces[1::2], strict=True)
            self._pieces, self._stride = [max(pair, key=_active_frames) for pair in pairs], 2 * self._stride

    def samples(self) -> Float[np.ndarray, " S"]:
        """The pieces with speech, joined."""
        return np.concatenate([samples for active, samples in self._pieces if active])


def _read_segments(
    reader: AudioReader, stats: RecordingStats, config: AudioConfig
) -> Iterator[tuple[Segment, int, Float[np.ndarray, " s"]]]:
    """The second pass: each segment, the sample at which its context begins, and the samples with the context."""
    hop, rate_hz = config.hop_samples, config.sample_rate_hz
    context = round(CONTEXT_S * rate_hz / hop) * hop
    blocks, held, position = reader.read_mono(rate_hz, rate_hz), np.zeros(0, np.float32), 0
    for segment in stats.segments:
        first, end = max(0, segment.first - context), min(stats.samples, segment.end + context)
        parts, missing = [held[first - position :]], end - position - len(held)
        while missing > 0:
            block = next(blocks, None)
            if block is None:
                raise AudioError("the recording became shorter while it was converted; convert it again.")
            parts.append(block)
            missing -= len(block)
        held, position = np.concatenate(parts), first
        yield segment, first, held[: end - first]


def _join(
    conversion: Conversion, segment: Segment, first: int, tail: np.ndarray, samples: int, rate: float
) -> tuple[Conversion, Float[np.ndarray, " s"]]:
    """Drops a segment's context and fades the segment in over what the previous one continues with.

    Args:
      conversion: of the segment with its context, which begins at sample `first` of the source.
      segment: what is kept of it.
      first: see above.
      tail: `FADE_S` of sound from the previous segment; empty for the first one.
      samples: length of the source.
      rate: how many times as fast the output is.

    Returns:
      the conversion of the segment alone, and the tail for the next one.
    """
    hop, fade, last = conversion.config.hop_samples, round(FADE_S * conversion.sample_rate_hz), segment.end == samples
    begin = samples_at_rate(segment.first, rate) - fade // 2 if segment.first else 0
    end = samples_at_rate(segment.end, rate) - (0 if last else fade // 2)
    offset = begin - (samples_at_rate(first, rate) if first else 0)
    if segment.forced:
        reach = round(LOWEST_PERIOD_S * conversion.sample_rate_hz)
        offset -= delay_in_phase(conversion.audio[: offset + fade], tail, reach)
    length = end - begin + (0 if last else fade)
    sound = conversion.audio[offset : offset + length]
    sound = np.pad(sound, (0, length - len(sound)))  # rounding of lengths: one sample
    rise = np.sin(np.linspace(0, np.pi / 2, len(tail), dtype=np.float32)) ** 2
    sound[: len(tail)] = tail + rise * (sound[: len(tail)] - tail)
    frames = end // hop - begin // hop + last
    mel_first = min(round(offset / hop), len(conversion.mel) - frames)
    source, kept = conversion.source, slice(segment.first - first, segment.end - first)
    of_source = slice(kept.start // hop, kept.stop // hop + last)  # the frame at the end is the last segment's only
    source = replace(source, audio=source.audio[kept], mel=source.mel[of_source], f0_hz=source.f0_hz[of_source])
    mel = conversion.mel[mel_first : mel_first + frames]
    return replace(conversion, audio=sound[: end - begin], mel=mel, source=source), sound[end - begin :]


def _reader(source: Source) -> AudioReader:
    return source if isinstance(source, AudioReader) else AudioReader(source)


def _progress_bar(reader: AudioReader, shown: bool) -> tqdm:
    duration_s = reader.duration_s()
    total = {} if duration_s is None else {"total": round(duration_s), "bar_format": _BAR}
    one_segment = duration_s is not None and duration_s <= WHOLE_S
    return tqdm(desc="converting", unit="s", leave=False, disable=not shown or one_segment, **total)
