"""Conversion of recordings of any length: a short one is one segment, a long one is cut in its pauses into many.

The mono samples of a long recording wait in a temporary file, 230 MB an hour at 16 kHz. A first pass over them finds
pauses and an excerpt of the speech. Level, F0 statistics and speaker embedding of the excerpt are those of all
segments. Each segment goes through the ordinary conversion with some context on both sides; the outputs are joined by
short cross-fades inside the pauses. Of what is in memory only figures of each frame grow with the length, 2 MB an hour.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from evc_jax.audio import io as audio_io
from evc_jax.audio.chunking import delay_in_phase
from evc_jax.audio.decoding import naming_errors
from evc_jax.audio.formats import check_output
from evc_jax.audio.io import AudioReader
from evc_jax.audio.pauses import Segment
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.recording_stats import analyse, keep_samples, read_samples
from evc_jax.conversion.result import Conversion
from evc_jax.errors import AudioError
from evc_jax.features import extract as extraction
from evc_jax.features.time_warp import samples_at_rate

WHOLE_S = 120.0  # a recording up to this is one segment
# Converted on both sides of a segment, then dropped: pauses of up to twice this duration are complete in both segments.
CONTEXT_S = 0.5
FADE_S = 0.03
LOWEST_PERIOD_S = 1 / 65  # a segment that begins in speech is delayed by up to this, until it continues in phase

Source = str | os.PathLike | AudioReader


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
    return join_conversions(list(convert_segments(converter, source, options)))


def join_conversions(parts: list[Conversion]) -> Conversion:
    """The conversion of a whole recording, of those of its segments."""

    def joined(values: list, *names: str) -> dict[str, Any]:
        return {name: np.concatenate([getattr(value, name) for value in values]) for name in names}

    if len(parts) == 1:
        return parts[0]
    features = replace(parts[0].source, **joined([part.source for part in parts], "audio", "mel", "f0_hz"))
    positions, weights = _joined_positions(parts), _joined_weights(parts)
    sound = joined(parts, "audio", "mel")
    return replace(parts[0], source=features, positions=positions, emotion_weights=weights, **sound)


def _joined_positions(parts: list[Conversion]) -> Float[np.ndarray, " T"] | None:
    """`Conversion.positions` of the whole, of those of its segments."""
    if all(part.positions is None for part in parts):
        return None
    first, found = 0, []
    for part in parts:
        found.append(first + part.rendered_positions)
        first += len(part.source.mel)
    return np.concatenate(found)


def _joined_weights(parts: list[Conversion]) -> Float[np.ndarray, "T K"] | None:
    """`Conversion.emotion_weights` of the whole; segments without an emotion have zeros."""
    columns = next((part.emotion_weights.shape[1] for part in parts if part.emotion_weights is not None), None)
    if columns is None:
        return None
    blank = (np.zeros((len(part.source.mel), columns), np.float32) for part in parts)
    return np.concatenate(
        [
            none if part.emotion_weights is None else part.emotion_weights
            for part, none in zip(parts, blank, strict=True)
        ]
    )


def convert_file(
    converter: Converter,
    source: Source,
    destination: str | os.PathLike,
    options: ConversionOptions | None = None,
    progress: bool = True,
    comment: str = "",
    output_rate_hz: int | None = None,
) -> float:
    """Converts a recording of any length into a file as `audio.io.save` writes it, whole or not at all.

    The sound is in a temporary file beside the destination until its peak is known: peaks above 1 are scaled down as in
    `audio.io.save`. The samples of a long source are there, too.

    Args:
      converter, source, options: see `stream_convert`.
      destination: file to write; a WAV file of more than 4 GB is written as RF64.
      progress: whether to draw a progress bar for a recording of several segments.
      comment: for the file's metadata.
      output_rate_hz: sample rate of the file; None is the converter's.

    Returns:
      the duration of the output in seconds.

    Raises:
      EvcError: see `stream_convert`, or the destination cannot be written.
    """
    samples, peak, rate_hz = 0, 0.0, output_rate_hz or converter.sample_rate_hz
    path = check_output(destination, rate_hz)
    conversions = convert_segments(converter, source, options, progress, path.parent)
    sound = audio_io.resampled((made.audio for made in conversions), converter.sample_rate_hz, rate_hz)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent) as spool:
            for block in sound:
                spool.write(block.tobytes())
                samples += len(block)
                peak = max(peak, float(np.abs(block).max(initial=0.0)))
            spool.seek(0)
            blocks = (np.frombuffer(part, np.float32) for part in iter(functools.partial(spool.read, 2**20), b""))
            audio_io.save_blocks(path, blocks, samples, peak, rate_hz, comment)
    except OSError as error:
        raise AudioError(f"{path} cannot be written ({error}); give a place that can.") from error
    return samples / rate_hz


def convert_segments(
    converter: Converter,
    source: Source,
    options: ConversionOptions | None = None,
    progress: bool = False,
    folder: Path | None = None,
    segment_s: tuple[float, float] | None = None,
) -> Iterator[Conversion]:
    """The conversion of a recording segment by segment; arguments and errors are those of `convert_file`.

    Samples of a long file are kept in a temporary file in `folder`; None is the system's temporary folder. With
    `segment_s`, the shortest and longest segment, a recording that is longer than a segment is cut, whatever its
    duration.
    """
    options = options or ConversionOptions()
    options.check(converter.bundle)
    reader = source if isinstance(source, AudioReader) else AudioReader(source)
    return _convert_segments(converter, reader, options, progress, folder, segment_s)


def _convert_segments(
    converter: Converter,
    reader: AudioReader,
    options: ConversionOptions,
    progress: bool,
    folder: Path | None,
    segment_s: tuple[float, float] | None,
) -> Iterator[Conversion]:
    config, rate_hz = converter.bundle.audio, converter.bundle.audio.sample_rate_hz
    with naming_errors(reader.source):
        whole = reader.read(segment_s[1] if segment_s else WHOLE_S)
        features = None if whole is None else converter.extract(*whole)
    options = converter.resolve(options)
    if features is not None:
        yield converter.convert_features(features, options)
        return
    with naming_errors(reader.source):
        spool = keep_samples(reader, rate_hz, folder)
        stats = analyse(spool, config, segment_s)
    context, tail = round(CONTEXT_S * rate_hz / config.hop_samples) * config.hop_samples, np.zeros(0, np.float32)
    shared, written = stats.excerpt, 0
    duration_s = stats.segments[-1].end / rate_hz
    options = options.within(duration_s)
    known = converter.whole_recording(shared, options, duration_s)
    for segment in tqdm(stats.segments, desc="converting", unit="segment", leave=False, disable=not progress):
        first = max(0, segment.first - context)
        samples = read_samples(spool, first, segment.end + context)
        features = extraction.extract(
            samples, rate_hz, config, lambda _: stats.excerpt.embedding, stats.excerpt.level_gain
        )
        # Frames that are not loud beside the whole recording are unvoiced.
        active = stats.active[first // config.hop_samples :][: len(features.f0_hz)]
        features = replace(features, f0_hz=np.where(active, features.f0_hz, np.float32(0)))
        conversion = converter.convert_features(features, options, known, first / rate_hz)
        last = segment is stats.segments[-1]
        conversion, tail = _join(conversion, segment, first, tail, written, last, options.rate)
        written += len(conversion.audio)
        yield conversion


def _output_sample(conversion: Conversion, first: int, sample: int, rate: float) -> int:
    """Where in a conversion, which begins at sample `first` of the source, another of the source's samples is."""
    if conversion.positions is None:
        return samples_at_rate(sample, rate) - (samples_at_rate(first, rate) if first else 0) if sample else 0
    hop = conversion.config.hop_samples
    if sample - first >= len(conversion.source.audio):
        return len(conversion.audio)
    frame = np.interp((sample - first) / hop, conversion.positions, np.arange(len(conversion.positions)))
    return min(round(frame * hop), len(conversion.audio))


def _join(
    conversion: Conversion, segment: Segment, first: int, tail: np.ndarray, written: int, last: bool, rate: float
) -> tuple[Conversion, Float[np.ndarray, " s"]]:
    """Drops the context and fades the segment in over `tail`, with which the previous one continues for `FADE_S`.

    `conversion` begins at sample `first` of the source, and `written` samples of the output are there already. Returns
    that of the segment alone, and the tail for the next.
    """
    hop, fade = conversion.config.hop_samples, round(FADE_S * conversion.sample_rate_hz)
    offset = _output_sample(conversion, first, segment.first, rate) - (fade // 2 if segment.first else 0)
    begin, end = written, written - offset + _output_sample(conversion, first, segment.end, rate)
    end -= 0 if last else fade // 2
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
    of_output = slice(mel_first, mel_first + frames)
    positions, weights = conversion.positions, conversion.emotion_weights
    if positions is not None:
        positions = np.clip(positions[of_output] - of_source.start, 0, max(0, len(source.mel) - 1))
    made = replace(
        conversion,
        audio=sound[: end - begin],
        mel=conversion.mel[of_output],
        source=source,
        positions=positions,
        emotion_weights=None if weights is None else weights[of_source],
    )
    return made, sound[end - begin :]
