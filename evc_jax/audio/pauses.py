"""Pauses: they stay silent in a conversion, and long recordings are cut in them.

Networks and vocoders turn silence into a faint hum or breath. Silent are frames in which the levelled, high-passed
recording stays below `loudness.SILENCE_DBFS`; where that lasts at least `MIN_PAUSE_S`, the output is faded to zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.loudness import SILENCE_DBFS
from evc_jax.audio.mel import condition, frame_powers, frame_signal

MIN_PAUSE_S = 0.5
FADE_S = 0.02
SEGMENT_S = (20.0, 60.0)  # shortest and longest segment of a recording that is cut; the last one may be shorter
CUT_PAUSE_S = 0.3  # shortest pause to cut in
CUT_QUIET_S = 0.1  # where there is no pause, a segment ends in its quietest stretch of this duration


@dataclass(frozen=True)
class Pause:
    """Samples [first, end) that are silent; `fades_out` and `fades_in` unless the recording begins or ends with it."""

    first: int
    end: int
    fades_out: bool = True
    fades_in: bool = True


@dataclass(frozen=True)
class Segment:
    """Samples [first, end) of a recording, multiples of the hop apart from the recording's end.

    Attributes:
      forced: whether `first` is not in a pause, for want of one.
    """

    first: int
    end: int
    forced: bool = False


def silent_frames(frames: Float[np.ndarray, "T window"]) -> Bool[np.ndarray, " T"]:
    """Which frames of a levelled, conditioned recording are silent."""
    return frame_powers(frames) < frames.shape[1] * 10 ** (SILENCE_DBFS / 10)


def find_pauses(silent: Bool[np.ndarray, " T"], samples: int, config: AudioConfig, rate: float = 1) -> list[Pause]:
    """The pauses of a recording, in order.

    Args:
      silent: `silent_frames` of the recording.
      samples: of the recording.
      config: of the frames. The silence of a frame reaches half a window to both sides of its centre.
      rate: how much faster the output is; its pauses are shorter by as much, the recording's decide what is one.
    """
    half, hop = config.window_samples // 2, config.hop_samples
    pauses = []
    for first_frame, end_frame in _runs(silent):
        begins, ends = first_frame == 0, end_frame * hop > samples
        first = 0 if begins else first_frame * hop - half
        end = samples if ends else (end_frame - 1) * hop + half
        if end - first >= round(MIN_PAUSE_S * config.sample_rate_hz):
            pauses.append(Pause(round(first / rate), round(end / rate), not begins, not ends))
    return pauses


def mute_pauses(sound: Float[np.ndarray, " S"], pauses: list[Pause], config: AudioConfig) -> Float[np.ndarray, " S"]:
    """The sound with zeros in the pauses, inside which it fades out and in for `FADE_S`."""
    fade = round(FADE_S * config.sample_rate_hz)
    out = sound.copy() if pauses else sound
    for pause in pauses:
        end = min(pause.end, len(sound))
        out[pause.first : end] *= _gains(pause, np.arange(pause.first, end), fade)
    return out


def restore_pauses(
    sound: Float[np.ndarray, " S"],
    source: Float[np.ndarray, " S2"],
    config: AudioConfig,
    rate: float = 1,
) -> Float[np.ndarray, " S"]:
    """`mute_pauses` with the pauses of the levelled source."""
    conditioned = condition(source, config)
    silent = silent_frames(frame_signal(conditioned, config.window_samples, config.hop_samples))
    return mute_pauses(sound, find_pauses(silent, len(source), config, rate), config)


def cut_at_pauses(
    powers: Float[np.ndarray, " T"],
    active: Bool[np.ndarray, " T"],
    samples: int,
    config: AudioConfig,
    limits_s: tuple[float, float] | None = None,
) -> list[Segment]:
    """Segments that tile a recording, each but the last ending in its longest pause.

    Args:
      powers: of each frame.
      active: whether it is speech; a pause is `CUT_PAUSE_S` without any.
      samples: length of the recording.
      config: of the frames.
      limits_s: shortest and longest segment; `SEGMENT_S` if None.
    """
    hop, durations_s = config.hop_samples, (*(limits_s or SEGMENT_S), CUT_PAUSE_S, CUT_QUIET_S)
    shortest, longest, pause, quiet = (max(1, round(s * config.sample_rate_hz / hop)) for s in durations_s)
    segments, first, forced = [], 0, False
    while samples - first * hop > longest * hop:
        window = slice(first + shortest, first + longest)
        run = max(_runs(~active[window]), key=lambda run: run[1] - run[0], default=(0, 0))
        was_forced, forced = forced, run[1] - run[0] < pause
        if forced:
            cut = int(np.convolve(powers[window], np.ones(quiet), "valid").argmin()) + quiet // 2
        else:
            cut = (run[0] + run[1]) // 2
        segments.append(Segment(first * hop, (window.start + cut) * hop, was_forced))
        first = window.start + cut
    return [*segments, Segment(first * hop, samples, forced)]


def _runs(flags: Bool[np.ndarray, " N"]) -> list[tuple[int, int]]:
    """First and one past the last position of every run of true flags."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _gains(pause: Pause, samples: np.ndarray, fade: int) -> Float[np.ndarray, " n"]:
    out = 1 - (samples - pause.first + 1) / fade if pause.fades_out else np.zeros(len(samples))
    back = 1 - (pause.end - samples) / fade if pause.fades_in else np.zeros(len(samples))
    return np.maximum(np.maximum(out, back), 0).astype(np.float32)
