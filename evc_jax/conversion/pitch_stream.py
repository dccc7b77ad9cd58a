"""Fundamental frequency of a recording that comes in blocks: `pitch.estimate_f0` in bounded memory.

What only the whole recording tells is measured while it passes: the register in the first pass, the loudest frame in
the second. F0 is therefore kept in a temporary file together with the loudness that decides on it later.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import frame_blocks, frame_count, frame_powers, frame_signal, highpass_design
from evc_jax.conversion.blocks import Framer, Spool, ZeroPhase
from evc_jax.features import pitch
from evc_jax.features.f0_codes import LogF0Statistics, statistics_of, voiced_log_f0

# WORLD hears so much of the recording at once, and as much of it before and after as a voiced stretch may last.
BLOCK_S = 30.0
CONTEXT_S = 3.0
_CANDIDATES = np.dtype([("hz", "f8"), ("power", "f8")])
_TRACK = np.dtype([("hz", "f4"), ("power", "f8")])


class RegisterMeter:
    """The quartiles of the speaker's F0, from a conditioned recording in blocks."""

    def __init__(self, config: AudioConfig):
        self._config = config
        self._filter = ZeroPhase(
            *highpass_design(pitch.HIGHPASS_ORDER, pitch.REGISTER_HIGHPASS_HZ, config.sample_rate_hz)
        )
        self._framer = Framer(config.window_samples, pitch.REGISTER_HOPS * config.hop_samples)
        self._candidates = Spool(_CANDIDATES)
        self._loudest = 0.0

    def add(self, conditioned: Float[np.ndarray, " s"], last: bool) -> None:
        """Takes a block."""
        frames = self._framer(self._filter(conditioned, last), last)
        for block in frame_blocks(frames):
            found = np.empty(len(block), _CANDIDATES)
            found["hz"] = pitch.strongest_hz(block, self._config.sample_rate_hz)
            found["power"] = frame_powers(block)
            self._loudest = max(self._loudest, float(found["power"].max()))
            self._candidates.append(found)

    def quartiles_hz(self) -> tuple[float, float]:
        """First and third quartile of what was added; to be asked for once."""
        threshold = pitch.loud_threshold(self._loudest, pitch.REGISTER_RANGE_DB)
        counts: dict[float, int] = {}  # candidates are whole periods, of which there are a few hundred
        for block in self._candidates.read():
            found = block["hz"][(block["power"] > threshold) & (block["hz"] > 0)]
            for hz, count in zip(*np.unique(found, return_counts=True), strict=True):
                counts[float(hz)] = counts.get(float(hz), 0) + int(count)
        self._candidates.close()
        if sum(counts.values()) < pitch.MIN_REGISTER_FRAMES:
            return pitch.DEFAULT_QUARTILES_HZ
        return _percentile(counts, 0.25), _percentile(counts, 0.75)


def _percentile(counts: dict[float, int], fraction: float) -> float:
    """`numpy.percentile` of values that occur so often."""
    values = np.array(sorted(counts))
    ends = np.cumsum([counts[value] for value in values])
    rank = fraction * (ends[-1] - 1)
    below, above = values[np.searchsorted(ends, [int(rank), int(np.ceil(rank))], side="right")]
    return float(below + (above - below) * (rank - int(rank)))


class F0Track:
    """F0 of each frame, added block by block and read again once the whole recording has passed."""

    def __init__(self, quartiles_hz: tuple[float, float], config: AudioConfig):
        """`quartiles_hz` is from `RegisterMeter`."""
        self._config = config
        self._range_hz = pitch.f0_range_hz(*quartiles_hz)
        corner_hz = pitch.HIGHPASS_FACTOR * self._range_hz[0]
        self._filter = ZeroPhase(*highpass_design(pitch.HIGHPASS_ORDER, corner_hz, config.sample_rate_hz))
        self._held = np.zeros(0)
        self._lead = 0  # frames at the beginning of `_held` that are there as context
        self._track = Spool(_TRACK)
        self._loudest = 0.0

    def add(self, conditioned: Float[np.ndarray, " s"], last: bool) -> None:
        """Takes a block of the conditioned, levelled recording."""
        hop = self._config.hop_samples
        size, context = (round(seconds * self._config.sample_rate_hz / hop) for seconds in (BLOCK_S, CONTEXT_S))
        self._held = np.concatenate([self._held, self._filter(conditioned, last)])
        while len(self._held) > (self._lead + size + context) * hop:
            self._analyse(self._held[: (self._lead + size + context) * hop], size)
            passed = max(0, self._lead + size - context)
            self._held, self._lead = self._held[passed * hop :], self._lead + size - passed
        if last:
            self._analyse(self._held, frame_count(len(self._held), self._config) - self._lead)

    def read(self) -> Iterator[Float[np.ndarray, " t"]]:
        """F0 in Hz in blocks, 0 where unvoiced."""
        threshold = pitch.loud_threshold(self._loudest, pitch.VOICED_RANGE_DB)
        for block in self._track.read():
            yield np.where(block["power"] > threshold, block["hz"], np.float32(0))

    def statistics(self) -> LogF0Statistics:
        """`pitch.log_f0_statistics` of the whole recording."""
        count, total = 0, 0.0
        for block in self.read():
            log_f0 = voiced_log_f0(block)
            count, total = count + len(log_f0), total + float(log_f0.sum())
        mean = total / max(1, count)
        squares = sum(float(np.square(voiced_log_f0(block) - mean).sum()) for block in self.read())
        return statistics_of(count, mean, np.sqrt(squares / max(1, count)))

    def close(self) -> None:
        """Deletes the temporary file."""
        self._track.close()

    def _analyse(self, samples: np.ndarray, count: int) -> None:
        kept = slice(self._lead, self._lead + count)
        samples = np.ascontiguousarray(samples)
        f0_hz, times_s = pitch.track(samples, *self._range_hz, self._config)
        powers = frame_powers(frame_signal(samples, self._config.window_samples, self._config.hop_samples))
        self._loudest = max(self._loudest, float(powers[kept].max()))
        # Frames that are not loud even beside what has passed so far need not be looked at.
        candidates_hz = np.zeros_like(f0_hz)
        candidates_hz[kept] = f0_hz[kept]
        candidates_hz[powers <= pitch.loud_threshold(self._loudest, pitch.VOICED_RANGE_DB)] = 0
        found = np.empty(count, _TRACK)
        found["hz"] = np.where(pitch.periodic(samples, candidates_hz, times_s, self._config), candidates_hz, 0)[kept]
        found["power"] = powers[kept]
        self._track.append(found)
