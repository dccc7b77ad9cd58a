"""The one road for every recording: a short one is one segment, a long one is cut in its pauses into many.

A first pass over a long recording finds its pauses, and an excerpt of its speech whose level, F0 statistics and speaker
embedding all segments share. Each segment then goes through the ordinary conversion with some context on both sides;
the outputs are joined by short cross-fades inside the pauses. Memory does not grow with the length, apart from 1 MB an
hour for the power of each frame.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

from evc_jax.audio import io as audio_io
from evc_jax.audio import loudness
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import frame_count, frame_powers, frame_signal, highpass
from evc_jax.audio.reader import AudioReader
from evc_jax.conversion.converter import Conversion, Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import AudioError
from evc_jax.features import extract as extraction
from evc_jax.features.extract import Features
from evc_jax.features.f0_codes import LogF0Statistics, log_f0_statistics
from evc_jax.features.time_warp import samples_at_rate

WHOLE_S = 120.0  # a recording up to this is one segment
SEGMENT_S = (20.0, 60.0)  # shortest and longest segment of a longer one
PAUSE_S = 0.3  # shortest pause to cut in
QUIET_S = 0.1  # where there is no pause, the quietest stretch of this duration is cut in
# Converted on both sides of a segment and dropped. A pause of twice this duration is complete in both of its segments.
CONTEXT_S = 0.5
FADE_S = 0.03
LOWEST_PERIOD_S = 1 / 65  # a forced cut delays the next segment by up to this, until it continues in phase
EXCERPT_S, EXCERPT_PIECES = 5.0, 24  # duration of a piece, and an even number: the excerpt has half of it or more
_BAR = "{desc} {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} s [{elapsed}, {remaining} left]"


@dataclass(frozen=True)
class Segment:
    """Samples [first, end) of a recording, both multiples of the hop unless they are the recording's end.

    Attributes:
      forced: whether `first` lies in speech, for want of a pause.
    """

    first: int
    end: int
    forced: bool = False


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
    converter: Converter, source: str | os.PathLike | AudioReader, options: ConversionOptions | None = None
) -> Iterator[Float[np.ndarray, " s"]]:
    """Converts a recording of any length and yields the sound segment by segment.

    Args:
      converter: the converter of a bundle.
      source: path of a recording, or a reader of samples in memory.
      options: see `ConversionOptions`; the default rebuilds the source.

    Returns:
      float32 mono blocks at `converter.sample_rate_hz` and the source's level, as many samples as the source has divided
      by the rate. Peaks may lie above 1.

    Raises:
      EvcError: the recording, an option or the bundle does not allow it; the message says what to do.
    """
    return (conversion.audio for conversion in convert_segments(converter, source, options))


def convert_recording(
    converter: Converter, source: str | os.PathLike | AudioReader, options: ConversionOptions | None = None
) -> Conversion:
    """Converts a recording of any length in memory; see `stream_convert`."""
    parts = list(convert_segments(converter, source, options))
    if len(parts) == 1:
        return parts[0]
    sources = [part.source for part in parts]
    joined = {name: np.concatenate([getattr(each, name) for each in sources]) for name in ("audio", "mel", "f0_hz")}
    audio, mel = (np.concatenate([getattr(part, name) for part in parts]) for name in ("audio", "mel"))
    return replace(parts[0], audio=audio, mel=mel, source=replace(sources[0], **joined))


def convert_file(
    converter: Converter,
    source: str | os.PathLike | AudioReader,
    destination: str | os.PathLike,
    options: ConversionOptions | None = None,
    progress: bool = True,
) -> float:
    """Converts a recording of any length into a 16-bit WAV or FLAC file, which is written whole or not at all.

    The sound is kept in a temporary file beside the destination, 230 MB an hour at 16 kHz, until its peak is known: peaks
    above 1 are scaled down as in `audio.io.save`.

    Args:
      converter, source, options: see `stream_convert`.
      destination: file to write; a WAV file of more than 4 GB is written as RF64.
      progress: whether a progress bar is drawn for a recording of several segments.

    Returns:
      the duration of the output in seconds.

    Raises:
      EvcError: see `stream_convert`, or the destination cannot be written.
    """
    path, reader = audio_io.check_output(destination), _reader(source)
    rate_hz, speed = converter.sample_rate_hz, options.rate if options else 1
    peak, samples = 0.0, 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent) as spool, _progress_bar(reader, progress) as bar:
            for block in stream_convert(converter, reader, options):
                spool.write(np.ascontiguousarray(block, np.float32).data)
                samples, peak = samples + len(block), max(peak, float(np.abs(block).max(initial=0.0)))
                bar.update(len(block) * speed / rate_hz)
            spool.seek(0)
            chunks = iter(functools.partial(spool.read, 2**20), b"")
            blocks = (np.frombuffer(chunk, np.float32) for chunk in chunks)
            audio_io.save_blocks(path, blocks, samples, peak, rate_hz)
    except OSError as error:
        raise AudioError(f"{path} cannot be written ({error}); give a place that can.") from error
    return samples / rate_hz


def convert_segments(
    converter: Converter, source: str | os.PathLike | AudioReader, options: ConversionOptions | None = None
) -> Iterator[Conversion]:
    """`stream_convert` with the mel and the source's features of each block; together they are `convert_recording`'s."""
    options = options or ConversionOptions()
    options.check(converter.bundle)
    return _convert_segments(converter, _reader(source), options)


def _convert_segments(converter: Converter, reader: AudioReader, options: ConversionOptions) -> Iterator[Conversion]:
    config, stats = converter.bundle.audio, None
    with reader.naming_errors():
        duration_s = reader.duration_s()
        if duration_s is None or duration_s > WHOLE_S:
            stats = analyse(reader, config)
        if stats is None or len(stats.segments) == 1:
            features = converter.extract(reader.load(config.sample_rate_hz), config.sample_rate_hz)
    if stats is None or len(stats.segments) == 1:
        yield converter.convert_features(features, options)
        return
    tail = np.zeros(0, np.float32)
    for segment, first, samples in _read_segments(reader, stats, config):
        features = _extract(samples, first, stats, config)
        conversion = converter.convert_features(features, options, stats.statistics)
        conversion, tail = _join(conversion, segment, first, tail, stats.samples, options.rate)
        yield conversion


def analyse(reader: AudioReader, config: AudioConfig) -> RecordingStats:
    """The first pass over a recording.

    Raises:
      AudioError: the recording is malformed, too short or silent.
    """
    hop, excerpt = config.hop_samples, _Excerpt()
    samples, powers, found = 0, [], np.zeros(1)
    for block in reader.read_mono(config.sample_rate_hz, round(EXCERPT_S * config.sample_rate_hz / hop) * hop):
        frames = frame_signal(highpass(block, config), config.window_samples, hop)
        found = (frame_powers(frames) / config.window_samples).astype(np.float32)
        powers.append(found[:-1])
        excerpt.add(block, found)
        samples += len(block)
    all_powers = np.concatenate([*powers, found[-1:]])
    active = all_powers > loudness.active_threshold(float(all_powers.max()))
    features = extraction.extract(excerpt.samples(), config.sample_rate_hz, config)
    return RecordingStats(
        samples=samples,
        active=active,
        segments=plan_segments(all_powers, active, samples, config),
        level_gain=features.level_gain,
        embedding=features.embedding,
        statistics=log_f0_statistics(features.f0_hz),
    )


class _Excerpt:
    """Evenly spread pieces of a recording whose length is not known: of each stretch the one with most speech."""

    def __init__(self):
        self._pieces: list[tuple[int, np.ndarray]] = []  # active frames and samples of each stretch's best piece
        self._seen, self._stride, self._loudest = 0, 1, 0.0

    def add(self, samples: np.ndarray, powers: np.ndarray) -> None:
        """Takes the next piece and the powers of its frames."""
        self._loudest = max(self._loudest, float(powers.max()))
        active = int((powers > self._loudest * 10 ** (-loudness.ACTIVE_RANGE_DB / 10)).sum())
        same_stretch = [self._pieces.pop()] if self._seen % self._stride else []
        self._pieces.append(_more_active(*same_stretch, (active, samples)))
        self._seen += 1
        if len(self._pieces) == EXCERPT_PIECES and self._seen % self._stride == 0:
            self._pieces = [_more_active(*pair) for pair in zip(self._pieces[::2], self._pieces[1::2], strict=True)]
            self._stride *= 2

    def samples(self) -> Float[np.ndarray, " S"]:
        """The pieces with speech, joined."""
        return np.concatenate([samples for active, samples in self._pieces if active or len(self._pieces) == 1])


def _more_active(*pieces: tuple[int, np.ndarray]) -> tuple[int, np.ndarray]:
    return max(pieces, key=lambda piece: piece[0])


def plan_segments(
    powers: Float[np.ndarray, " T"], active: Bool[np.ndarray, " T"], samples: int, config: AudioConfig
) -> list[Segment]:
    """Cuts a recording of more than `WHOLE_S` in the middle of its longest pauses.

    Where a segment's time passes without a pause of `PAUSE_S`, it ends at its quietest `QUIET_S`.

    Args:
      powers: of each frame.
      active: whether it is speech.
      samples: length of the recording.
      config: of the frames.
    """
    hop = config.hop_samples
    shortest, longest, pause, quiet = (
        max(1, round(seconds * config.sample_rate_hz / hop)) for seconds in (*SEGMENT_S, PAUSE_S, QUIET_S)
    )
    segments, first, forced = [], 0, False
    while samples > WHOLE_S * config.sample_rate_hz and samples - first * hop > longest * hop:
        window = slice(first + shortest, first + longest)
        edges = np.flatnonzero(np.diff(np.concatenate([[True], active[window], [True]])))
        begins, lengths = edges[::2], edges[1::2] - edges[::2]
        was_forced, forced = forced, not (lengths >= pause).any()
        if forced:
            cut = int(np.convolve(powers[window], np.ones(quiet), "valid").argmin()) + quiet // 2
        else:
            cut = int(begins[lengths.argmax()] + lengths.max() // 2)
        segments.append(Segment(first * hop, (window.start + cut) * hop, was_forced))
        first = window.start + cut
    return [*segments, Segment(first * hop, samples, forced)]


def _read_segments(
    reader: AudioReader, stats: RecordingStats, config: AudioConfig
) -> Iterator[tuple[Segment, int, Float[np.ndarray, " s"]]]:
    """The second pass: each segment, the sample at which its context begins, and the samples with the context."""
    hop, rate_hz = config.hop_samples, config.sample_rate_hz
    context = round(CONTEXT_S * rate_hz / hop) * hop
    blocks = reader.read_mono(rate_hz, rate_hz)
    held, position = np.zeros(0, np.float32), 0
    for segment in stats.segments:
        first, end = max(0, segment.first - context), min(stats.samples, segment.end + context)
        parts = [held[first - position :]]
        missing = end - first - len(parts[0])
        while missing > 0 and (block := next(blocks, None)) is not None:
            parts.append(block)
            missing -= len(block)
        if missing > 0:
            raise AudioError("the recording became shorter while it was read; leave it alone until it is converted.")
        held, position = np.concatenate(parts), first
        yield segment, first, held[: end - first]


def _extract(samples: np.ndarray, first: int, stats: RecordingStats, config: AudioConfig) -> Features:
    """Features of a segment that begins at sample `first`; what is not loud beside the whole recording is unvoiced."""
    features = extraction.extract(
        samples, config.sample_rate_hz, config, embedder=lambda _: stats.embedding, level_gain=stats.level_gain
    )
    first_frame = first // config.hop_samples
    active = stats.active[first_frame : first_frame + len(features.f0_hz)]
    return replace(features, f0_hz=np.where(active, features.f0_hz, np.float32(0)))


def _join(
    conversion: Conversion, segment: Segment, first: int, tail: np.ndarray, samples: int, rate: float | int
) -> tuple[Conversion, Float[np.ndarray, " s"]]:
    """Fades a segment in over the end of the previous one.

    Args:
      conversion: of the segment with its context, which begins at sample `first` of the source.
      segment: the part to keep.
      first: see above.
      tail: `FADE_S` of the previous segment that lie in this one; empty for the first segment.
      samples: length of the source.
      rate: how many times as fast the output is.

    Returns:
      the conversion without context, and the tail for the next segment.
    """
    hop, fade = conversion.config.hop_samples, round(FADE_S * conversion.sample_rate_hz)
    begin, end = (_joint(cut, samples, rate, fade) for cut in (segment.first, segment.end))
    last = segment.end == samples
    offset = begin - samples_at_rate(first, rate) if first else begin
    if segment.forced:
        offset -= _delay_in_phase(conversion.audio[: offset + fade], tail, conversion.sample_rate_hz)
    wanted = end - begin + (0 if last else fade)
    sound = conversion.audio[offset : offset + wanted]
    sound = np.pad(sound, (0, wanted - len(sound)))  # lengths are rounded: one sample
    rise = np.sin(np.linspace(0, np.pi / 2, len(tail), dtype=np.float32)) ** 2
    sound[: len(tail)] = tail + rise * (sound[: len(tail)] - tail)
    source = conversion.source
    begins, ends = segment.first - first, segment.end - first
    source_frames = slice(begins // hop, None if last else ends // hop)
    kept = replace(
        source,
        audio=source.audio[begins:ends],
        mel=source.mel[source_frames],
        f0_hz=source.f0_hz[source_frames],
    )
    frames = end // hop - begin // hop + last
    mel_first = min(round(offset / hop), len(conversion.mel) - frames)
    mel = conversion.mel[mel_first : mel_first + frames]
    return replace(conversion, audio=sound[: end - begin], mel=mel, source=kept), sound[end - begin :]


def _joint(cut: int, samples: int, rate: float | int, fade: int) -> int:
    """The output's sample at which the cross-fade of a cut begins."""
    if cut in (0, samples):
        return samples_at_rate(samples, rate) if cut else 0
    return samples_at_rate(cut, rate) - fade // 2


def _delay_in_phase(sound: np.ndarray, tail: np.ndarray, rate_hz: int) -> int:
    """By how many samples the end of `sound` continues `tail` best when it comes so much later."""
    reach = round(LOWEST_PERIOD_S * rate_hz)
    candidates = sound[-(len(tail) + reach) :].astype(np.float64)
    energies = np.convolve(np.square(candidates), np.ones(len(tail)), "valid")
    likeness = np.correlate(candidates, tail, "valid") / np.sqrt(np.maximum(energies, 1e-12))
    return len(likeness) - 1 - int(likeness.argmax())


def _reader(source: str | os.PathLike | AudioReader) -> AudioReader:
    return source if isinstance(source, AudioReader) else AudioReader(Path(source))


def _progress_bar(reader: AudioReader, shown: bool) -> tqdm:
    duration_s = reader.duration_s()
    total = {} if duration_s is None else {"total": round(duration_s), "bar_format": _BAR}
    several = duration_s is None or duration_s > WHOLE_S
    return tqdm(desc="converting", unit="s", leave=False, disable=not (shown and several), **total)
