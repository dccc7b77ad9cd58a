"""Silence is passed through: where a recording says nothing for a while, its conversion says nothing, for as long.

Networks and vocoders answer silence with a faint hum or breath. Silent are frames in which the levelled, high-passed
recording stays below `levels.SILENCE_DBFS`; where that lasts at least `MIN_PAUSE_S`, the output is faded to zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.loudness import SILENCE_DBFS
from evc_jax.audio.mel import condition, frame_powers, frame_signal

MIN_PAUSE_S = 0.5
FADE_S = 0.02


@dataclass(frozen=True)
class Pause:
    """Samples [first, end) that are silent; `fades_out` and `fades_in` unless the recording begins or ends with it."""

    first: int
    end: int
    fades_out: bool = True
    fades_in: bool = True


def silent_frames(frames: Float[np.ndarray, "T window"]) -> Bool[np.ndarray, " T"]:
    """Which frames of a levelled, conditioned recording are silent."""
    return frame_powers(frames) < frames.shape[1] * 10 ** (SILENCE_DBFS / 10)


def find_pauses(
    silent: Iterable[Bool[np.ndarray, " _"]], samples: int, config: AudioConfig, rate: float | int = 1
) -> Iterator[Pause]:
    """The pauses of a recording, in order, as soon as they are known.

    Args:
      silent: `silent_frames` of the recording, in blocks of any length.
      samples: of the recording.
      config: of the frames. The silence of a frame reaches half a window to both sides of its centre.
      rate: how much faster the output is; its pauses are shorter by as much, the recording's decide what is one.
    """
    half, hop = config.window_samples // 2, config.hop_samples
    shortest = round(MIN_PAUSE_S * config.sample_rate_hz)
    for first_frame, end_frame in _runs(silent):
        begins, ends = first_frame == 0, end_frame * hop > samples
        first = 0 if begins else first_frame * hop - half
        end = samples if ends else (end_frame - 1) * hop + half
        if end - first >= shortest:
            yield Pause(round(first / rate), round(end / rate), not begins, not ends)


def _runs(flags: Iterable[np.ndarray]) -> Iterator[tuple[int, int]]:
    """First and one past the last position of every run of true flags."""
    first, position, before = 0, 0, False
    for block in flags:
        for change in np.flatnonzero(np.diff(block, prepend=before)):
            if block[change]:
                first = position + int(change)
            else:
                yield first, position + int(change)
        before = bool(block[-1]) if len(block) else before
        position += len(block)
    if before:
        yield first, position


def mute_pauses(
    sound: Iterable[Float[np.ndarray, " _"]], pauses: Iterable[Pause], config: AudioConfig
) -> Iterator[Float[np.ndarray, " s"]]:
    """The sound in blocks of the same lengths, with zeros in the pauses and `FADE_S` to go down and up inside them."""
    fade = round(FADE_S * config.sample_rate_hz)
    pauses = iter(pauses)
    pause, position = next(pauses, None), 0
    for block in sound:
        end, written = position + len(block), False
        while pause is not None and pause.first < end:
            if not written:
                block, written = block.copy(), True
            first, last = max(pause.first, position), min(pause.end, end)
            block[first - position : last - position] *= _gains(pause, np.arange(first, last), fade)
            if pause.end > end:
                break
            pause = next(pauses, None)
        yield block
        position = end


def restore_pauses(
    sound: Float[np.ndarray, " S"],
    source: Float[np.ndarray, " S2"],
    config: AudioConfig,
    rate: float | int = 1,
) -> Float[np.ndarray, " S"]:
    """`hush` for a sound and its levelled source as a whole."""
    conditioned = condition(source, config)
    silent = silent_frames(frame_signal(conditioned, config.window_samples, config.hop_samples))
    (out,) = mute_pauses([sound], find_pauses([silent], len(source), config, rate), config)
    return out


def _gains(pause: Pause, samples: np.ndarray, fade: int) -> Float[np.ndarray, " n"]:
    out = 1 - (samples - pause.first + 1) / fade if pause.fades_out else np.zeros(len(samples))
    back = 1 - (pause.end - samples) / fade if pause.fades_in else np.zeros(len(samples))
    return np.maximum(np.maximum(out, back), 0).astype(np.float32)
