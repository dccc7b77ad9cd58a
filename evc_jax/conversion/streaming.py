"""Recordings of any length, in memory that does not grow with it: sound as it becomes ready, or a file.

The recording is heard twice first (`survey.py`). Then its features flow through windows, networks and vocoder block by
block. The sound is that of `Converter.convert`, as far as a recording fits into memory.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from evc_jax.audio import io as audio_io
from evc_jax.audio import pauses
from evc_jax.audio.chunking import join_stream, split_stream
from evc_jax.audio.mel import frame_count
from evc_jax.conversion import controls
from evc_jax.conversion.blocks import Spool
from evc_jax.conversion.converter import Converter, WindowConverter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.sources import Source, open_source
from evc_jax.conversion.survey import PASSES, Survey, levelled, survey
from evc_jax.errors import AudioError
from evc_jax.features import time_warp

# Windows that go through the networks together.
BATCH_WINDOWS = 16
_BAR = "{desc} {percentage:3.0f}% |{bar}| {n:.0f} of {total:.0f} s [{elapsed}, {remaining} left]"


def stream_convert(
    converter: Converter,
    source: str | os.PathLike | Source,
    options: ConversionOptions | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Iterator[Float[np.ndarray, " s"]]:
    """Converts a recording and yields the sound in blocks as they become ready, the first after a minute or so of it.

    Args:
      converter: the bundle to convert with.
      source: a path, or a `sources.BlockSource` of samples in memory or of blocks that can be read three times over. A
        microphone is none: level, F0 and voice are those of the whole recording, which must have ended.
      options: see `ConversionOptions`; what comes out with the default is the source, rebuilt.
      on_progress: called with the number of samples that were just heard, `survey.PASSES` times for each before the first
        block of sound.

    Returns:
      float32 mono blocks at `converter.sample_rate_hz`, at the source's level, as long as the source (divided by the
      wished rate). Peaks may lie above 1: only `convert_file` knows the whole.

    Raises:
      EvcError: the recording, a wish or the bundle does not allow it; the message says what to do.
    """
    options = options or ConversionOptions()
    options.check(converter.bundle)
    return _stream(converter, open_source(source), options, on_progress)


def convert_file(
    converter: Converter,
    source: str | os.PathLike | Source,
    destination: str | os.PathLike,
    options: ConversionOptions | None = None,
    progress: bool = True,
) -> float:
    """Converts a recording of any length into a 16-bit WAV or FLAC file, written whole or not at all.

    The sound waits in a temporary file beside the destination, 230 MB an hour at 16 kHz, until its peak is known: peaks
    above 1 are scaled down as in `audio.save`.

    Args:
      converter, source, options: see `stream_convert`.
      destination: file to write; a WAV file of more than 4 GB is written as RF64.
      progress: whether to draw a progress bar.

    Returns:
      the duration of what was written, in seconds.

    Raises:
      EvcError: see `stream_convert`, or the destination cannot be written.
    """
    path = audio_io.check_output(destination)
    source = open_source(source)
    bars = _Bars(source, converter.sample_rate_hz, progress)
    peak = 0.0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(bars), Spool(np.float32, path.parent) as sound:
            for block in stream_convert(converter, source, options, bars.heard):
                peak = max(peak, float(np.abs(block).max(initial=0.0)))
                sound.append(block)
                bars.said(len(block))
            audio_io.save_blocks(path, sound.read(), sound.length, peak, converter.sample_rate_hz)
            return sound.length / converter.sample_rate_hz
    except OSError as error:
        raise AudioError(f"{path} cannot be written ({error}); give a place that can.") from error


def _stream(
    converter: Converter, source: Source, options: ConversionOptions, on_progress: Callable[[int], None] | None
) -> Iterator[Float[np.ndarray, " s"]]:
    config = converter.bundle.audio
    voice = converter.voices.resolve(options.voice, options.seed)
    with survey(source, config, embed=voice is None or options.timbre != 1, on_progress=on_progress) as heard:
        samples = time_warp.samples_at_rate(heard.samples, options.rate)
        frames = frame_count(samples, config)
        convert = converter.window_converter(_embedding(heard, voice, options), heard.statistics, options)
        mels = time_warp.stream_at_rate(levelled(source, heard.level_gain, config), options.rate, frames)
        f0_hz = time_warp.stream_at_rate(heard.f0_hz(), options.rate, frames, time_warp.warp_f0)
        converted = _converted(mels, f0_hz, frames, convert)
        sound = converter.requested_vocoder(options).stream(converted, frames, samples, options.seed)
        own_level = (block / np.float32(heard.level_gain) for block in sound)
        yield from pauses.mute_pauses(own_level, heard.pauses(options.rate), config)


def _embedding(heard: Survey, voice: np.ndarray | None, options: ConversionOptions) -> Float[np.ndarray, " C"]:
    if voice is None:
        return heard.embedding
    return voice if heard.embedding is None else controls.blend_voices(heard.embedding, voice, options.timbre)


def _converted(
    mels: Iterable[np.ndarray], f0_hz: Iterable[np.ndarray], frames: int, convert: WindowConverter
) -> Iterator[Float[np.ndarray, "t F"]]:
    """Mel spectrograms in blocks through the networks, window by window."""
    pairs = zip(split_stream(mels, frames), split_stream(f0_hz, frames))
    for block in join_stream(_in_batches(pairs, convert), frames):
        yield np.clip(block, 0, 1)


def _in_batches(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], convert: WindowConverter
) -> Iterator[Float[np.ndarray, "T F"]]:
    pairs = iter(pairs)
    while batch := list(itertools.islice(pairs, BATCH_WINDOWS)):
        mel, f0_hz = (np.stack(part) for part in zip(*batch, strict=True))
        yield from convert(mel, f0_hz)


class _Bars:
    """A progress bar for the hearing and, once sound comes, one for the speaking; in seconds."""

    def __init__(self, source: Source, rate_hz: int, shown: bool):
        self._rate_hz = rate_hz
        self._shown = shown
        self._heard_samples = 0
        self._speaking = False
        duration_s = source.duration_s()
        self._bar = self._open("hearing", None if duration_s is None else PASSES * duration_s)

    def heard(self, samples: int) -> None:
        """To be told of samples that were heard."""
        self._heard_samples += samples
        self._bar.update(samples / self._rate_hz)

    def said(self, samples: int) -> None:
        """To be told of samples that are ready."""
        if not self._speaking:
            self._speaking = True
            self._bar.close()
            self._bar = self._open("converting", self._heard_samples / PASSES / self._rate_hz)
        self._bar.update(samples / self._rate_hz)

    def close(self) -> None:
        """Takes the bar away."""
        self._bar.close()

    def _open(self, what: str, total_s: float | None) -> tqdm:
        total = {} if total_s is None else {"total": round(total_s), "bar_format": _BAR}
        return tqdm(desc=what, unit="s", leave=False, disable=not self._shown, **total)
