"""Fundamental frequency, estimated by WORLD.

Source: SpeechSplit (arXiv 2004.11284), whose tracker is RAPT with one range per sex. NOTE: here the range comes from
the recording itself, so that the sex need not be known. WORLD: Morise et al. 2016, LoveTrain: Morise 2016 (D4C).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.loudness import loudest_power
from evc_jax.audio.mel import condition, frame_blocks, frame_powers, frame_signal

REGISTER_RANGE_HZ = (60.0, 600.0)
REGISTER_HIGHPASS_HZ = 75.0
REGISTER_STRENGTH = 0.6
REGISTER_RANGE_DB = 25.0
REGISTER_FRAMES = 150  # about as many are looked at; quartiles do not need them all
MIN_REGISTER_HOPS = 2
MIN_REGISTER_FRAMES = 5
# What a candidate loses in strength for each octave it lies lower: a period's multiples are periods, too.
OCTAVE_COST = 0.01
DEFAULT_QUARTILES_HZ = (100.0, 250.0)
RANGE_FACTORS = (0.7, 1.75)
# Just above mains hum.
LOWEST_F0_HZ = 62.0
HIGHPASS_FACTOR = 0.7
STEPS_PER_FRAME = 4
EDGE_S = 0.1  # of silence, in which the filter's answer to one end fades before the other end
# The rates that DIO and StoneMask work at, over the highest F0 that is looked for; StoneMask uses six harmonics.
DIO_RATE_FACTOR = 6
STONEMASK_RATE_FACTOR = 15
LARGEST_DIVISOR = 16  # of the recording's rate; a power of two
# With WORLD's two, the second harmonic of an open vowel at 400 to 500 Hz passes the filter that should leave the first.
DIO_CHANNELS_PER_OCTAVE = 4.0
# LoveTrain: a voiced frame has this share of its power up to 7.9 kHz below 4 kHz.
LOVE_TRAIN_THRESHOLD = 0.85
LOVE_TRAIN_BOUNDS_HZ = (100.0, 4000.0, 7900.0)
LOVE_TRAIN_PERIODS = 3
LOVE_TRAIN_LOWEST_HZ = 40.0
LOVE_TRAIN_NOISE = 1e-6  # that WORLD adds to every window; here its power is added to every frequency
LOVE_TRAIN_BLOCK_FRAMES = 128
VOICED_RANGE_DB = 35.0


def estimate_f0(audio: Float[np.ndarray, " S"], config: AudioConfig) -> Float[np.ndarray, " T"]:
    """Fundamental frequency at the spectrogram's frames.

    A first pass over a wide range, by autocorrelation, finds the speaker's register; DIO looks only around its
    quartiles, in the recording without what lies below that. Voiced are the loud frames that D4C's LoveTrain does
    not call aperiodic. NOTE: with DIO in the first pass, too, mains hum is taken for the voice in a fifth of
    LibriSpeech's recordings.

    Args:
      audio: samples at `config.sample_rate_hz`.
      config: rate and frames.

    Returns:
      float32 Hz, T = S // hop + 1; 0 where the frame is unvoiced.
    """
    return f0_of_conditioned(condition(audio, config), config)


def f0_of_conditioned(samples: Float[np.ndarray, " S"], config: AudioConfig) -> Float[np.ndarray, " T"]:
    """`estimate_f0` of a recording that `audio.condition` has been through already."""
    recording = _Recording(samples, config.sample_rate_hz)
    low_hz, high_hz = np.multiply(_register_quartiles(recording, config), RANGE_FACTORS).tolist()
    low_hz = max(low_hz, LOWEST_F0_HZ)
    samples = recording.above(HIGHPASS_FACTOR * low_hz)
    frames = frame_signal(samples, config.window_samples, config.hop_samples)
    f0_hz, times_s = _track(recording, low_hz, high_hz, _loud(frames, VOICED_RANGE_DB), config)
    return np.where(periodic(samples, f0_hz, times_s, config), f0_hz, 0).astype(np.float32)


class _Recording:
    """A recording whose low frequencies can be left out, at its own rate or at a part of it."""

    def __init__(self, samples: np.ndarray, rate_hz: int):
        from scipy import fft

        self.samples, self.rate_hz = len(samples), rate_hz
        size = math.ceil((len(samples) + EDGE_S * rate_hz) / LARGEST_DIVISOR)
        self.size = LARGEST_DIVISOR * fft.next_fast_len(size, real=True)
        self.spectrum = fft.rfft(samples.astype(np.float32), self.size)

    def divisor(self, lowest_hz: float) -> int:
        """The largest power of two by which the rate can be divided to no less than `lowest_hz`."""
        divisor = LARGEST_DIVISOR
        while divisor > 1 and (self.rate_hz % divisor or self.rate_hz < divisor * lowest_hz):
            divisor //= 2
        return divisor

    def above(self, corner_hz: float, divisor: int = 1) -> np.ndarray:
        """The samples after a zero-phase Butterworth high-pass, at the rate divided by `divisor`; float32."""
        from scipy import fft

        size = self.size // divisor
        hz = np.arange(1, size // 2 + 1, dtype=np.float32) * np.float32(self.rate_hz / self.size)
        filtered = self.spectrum[: size // 2 + 1] / np.float32(divisor)
        filtered[0] = 0
        steepness = np.square(np.square(np.square(np.float32(corner_hz) / hz)))  # a power of eight is ten times slower
        filtered[1:] /= 1 + steepness
        return fft.irfft(filtered, size)[: -(-self.samples // divisor)]


def _register_quartiles(recording: _Recording, config: AudioConfig) -> tuple[float, float]:
    """First and third quartile of the F0 of loud, strongly periodic frames, in Hz.

    The autocorrelation is divided by the window's (Boersma 1993). Hum and rumble are filtered out first.
    """
    samples = recording.above(REGISTER_HIGHPASS_HZ)
    hops = max(MIN_REGISTER_HOPS, len(samples) // config.hop_samples // REGISTER_FRAMES)
    frames = frame_signal(samples, config.window_samples, hops * config.hop_samples)
    frames = frames[_loud(frames, REGISTER_RANGE_DB)]
    candidates_hz = np.concatenate([strongest_hz(block, config.sample_rate_hz) for block in frame_blocks(frames)])
    found_hz = candidates_hz[candidates_hz > 0]
    if len(found_hz) < MIN_REGISTER_FRAMES:
        return DEFAULT_QUARTILES_HZ
    low_hz, high_hz = np.percentile(found_hz, [25, 75]).tolist()
    return low_hz, high_hz


def strongest_hz(frames: Float[np.ndarray, "T window"], rate_hz: int) -> Float[np.ndarray, " T"]:
    """The period that best explains each frame, as a frequency; 0 where none explains it well."""
    window = frames.shape[1]
    first, last = (round(rate_hz / hz) for hz in reversed(REGISTER_RANGE_HZ))
    last = min(last, window - 2)
    lags = np.arange(first, last + 1)
    shape = np.hanning(window + 2)[1:-1].astype(np.float32)
    correlation = _autocorrelation((frames * shape).astype(np.float32), last + 2) / _autocorrelation(shape, last + 2)
    before, strength, after = (correlation[:, first + offset : last + 1 + offset] for offset in (-1, 0, 1))
    is_period = (strength > before) & (strength >= after) & (strength > REGISTER_STRENGTH)
    scores = np.where(is_period, strength - (OCTAVE_COST * np.log2(lags / first)).astype(np.float32), -1)
    return np.where(is_period.any(axis=1), rate_hz / lags[scores.argmax(axis=1)], 0)


def _autocorrelation(frames: np.ndarray, lags: int) -> np.ndarray:
    """The first lags of the autocorrelation over the last axis, 1 at lag 0; zero frames give zeros."""
    from scipy import fft

    size = fft.next_fast_len(frames.shape[-1] + lags, real=True)  # so long that what wraps around reaches none of them
    power = np.abs(fft.rfft(frames, size)) ** 2
    correlation = fft.irfft(power, size)[..., :lags]
    return correlation / np.maximum(correlation[..., :1], 1e-20)


def _track(
    recording: _Recording, low_hz: float, high_hz: float, loud: np.ndarray, config: AudioConfig
) -> tuple[np.ndarray, np.ndarray]:
    """DIO in a range, refined by StoneMask in the loud frames: Hz and seconds of each frame, 0 Hz in the others.

    DIO follows F0 in steps of a quarter of a frame; StoneMask looks at each moment alone, so the frames are enough.
    """
    import pyworld

    period_ms = 1000 * config.hop_samples / recording.rate_hz / STEPS_PER_FRAME
    coarse, fine = recording.divisor(DIO_RATE_FACTOR * high_hz), recording.divisor(STONEMASK_RATE_FACTOR * high_hz)
    range_hz: dict[str, Any] = {"f0_floor": low_hz, "f0_ceil": high_hz, "channels_in_octave": DIO_CHANNELS_PER_OCTAVE}
    samples = recording.above(HIGHPASS_FACTOR * low_hz, coarse).astype(np.float64)
    f0_hz, times_s = pyworld.dio(samples, recording.rate_hz // coarse, **range_hz, frame_period=period_ms, speed=1)
    f0_hz, times_s = _at_frames(f0_hz, len(loud)), _at_frames(times_s, len(loud))
    samples = recording.above(HIGHPASS_FACTOR * low_hz, fine).astype(np.float64)
    return pyworld.stonemask(samples, np.where(loud, f0_hz, 0), times_s, recording.rate_hz // fine), times_s


def _at_frames(track: np.ndarray, frames: int) -> np.ndarray:
    """Every fourth value; the last one again where WORLD ends a frame early."""
    kept = track[::STEPS_PER_FRAME][:frames]
    return np.ascontiguousarray(np.pad(kept, (0, frames - len(kept)), mode="edge"))


def periodic(
    samples: Float[np.ndarray, " S"],
    f0_hz: Float[np.ndarray, " T"],
    times_s: Float[np.ndarray, " T"],
    config: AudioConfig,
) -> Bool[np.ndarray, " T"]:
    """Frames with an F0 that D4C's LoveTrain does not call aperiodic: most of their power lies below 4 kHz.

    NOTE: WORLD says so only together with D4C's aperiodicity of all bands, which takes ten times as long.
    """
    found = np.zeros(len(f0_hz), bool)
    # Sorted by F0, as the lowest of a block sets the width of the block's windows.
    voiced = np.argsort(f0_hz)[np.count_nonzero(f0_hz == 0) :]
    halves = np.floor(LOVE_TRAIN_PERIODS / 2 * config.sample_rate_hz / f0_hz[voiced] + 0.5).astype(int)
    reach = int(halves.max(initial=0)) + 1
    padded = np.pad(samples.astype(np.float32), reach, mode="edge")
    centres = np.floor(times_s[voiced] * config.sample_rate_hz + 0.501).astype(int) + reach
    for start in range(0, len(voiced), LOVE_TRAIN_BLOCK_FRAMES):
        block = slice(start, start + LOVE_TRAIN_BLOCK_FRAMES)
        share = _share_below(padded, f0_hz[voiced[block]], centres[block], halves[block], config.sample_rate_hz)
        found[voiced[block]] = share > LOVE_TRAIN_THRESHOLD
    return found


def _share_below(
    samples: np.ndarray, f0_hz: np.ndarray, centres: np.ndarray, halves: np.ndarray, rate_hz: int
) -> np.ndarray:
    """How much of the power between the outer bounds lies below the middle one, in three periods of each frame.

    `halves` are the lengths of half the windows; `samples` reach so far before and after all of the `centres`.
    """
    from scipy import fft

    widest = int(halves.max())
    frames = np.lib.stride_tricks.sliding_window_view(samples, 2 * widest + 1)[centres - widest]
    offsets = np.arange(-widest, widest + 1, dtype=np.float32)
    cosine = np.cos((2 * np.pi / LOVE_TRAIN_PERIODS / rate_hz * f0_hz[:, None]).astype(np.float32) * offsets)
    # Blackman's window, with the double angle written out.
    window = np.where(np.abs(offsets) <= halves[:, None], 0.34 + cosine * (0.5 + 0.16 * cosine), 0)
    windowed = frames * window
    windowed -= window * (windowed.sum(axis=1) / window.sum(axis=1))[:, None]
    size = 2 << int(np.log2(LOVE_TRAIN_PERIODS * rate_hz / LOVE_TRAIN_LOWEST_HZ + 1))
    low, middle, high = (int(np.ceil(hz * size / rate_hz)) for hz in LOVE_TRAIN_BOUNDS_HZ)
    spectrum = fft.rfft(windowed, size)[:, low + 1 : high + 1]
    noise_power = LOVE_TRAIN_NOISE**2 * (window**2).sum(axis=1, keepdims=True)
    power = spectrum.real**2 + spectrum.imag**2 + noise_power
    return power[:, : middle - low].sum(axis=1) / power.sum(axis=1)


def _loud(frames: np.ndarray, range_db: float) -> np.ndarray:
    """Frames [T, window] within `range_db` of the loudest one; bool [T]."""
    powers = frame_powers(frames)
    return powers > loudest_power(powers) * 10 ** (-range_db / 10)
