"""Taking WaveGlow's hum out of its sound.

WaveGlow makes groups of samples at once, and what differs within a group whatever it is told is heard as tones at the
multiples of rate / group. They show in what it says to silence: a mel of zeros, no noise. That sound's spectrum is
subtracted. Source: NVIDIA's WaveGlow, `denoiser.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float

WINDOW_SAMPLES = 1024
HOP_SAMPLES = 256
_OVERLAP = WINDOW_SAMPLES - HOP_SAMPLES


def bias_spectrum(hum: Float[np.ndarray, " S"]) -> Float[np.ndarray, " bins"]:
    """Magnitudes of what a vocoder says to silence, at least `WINDOW_SAMPLES` of it.

    NOTE: the mean over all frames; the original takes the first one, which is half outside the sound.
    """
    frames = np.lib.stride_tricks.sliding_window_view(hum, WINDOW_SAMPLES)[::HOP_SAMPLES]
    return np.abs(np.fft.rfft(frames * _window(), axis=1)).mean(axis=0).astype(np.float32)


class Denoiser:
    """Subtracts a spectrum from the magnitudes of the short-time spectrum, down to zero; phases stay."""

    def __init__(self, bias: Float[np.ndarray, " bins"], strength: float):
        """`bias` is from `bias_spectrum`; of it `strength`, from 0 to 1, is subtracted."""
        self._subtracted = (strength * bias).astype(np.float32)

    def __call__(self, sound: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
        """The sound without the hum, as long as it was."""
        return np.concatenate(list(self.stream([sound])))

    def stream(self, blocks: Iterable[Float[np.ndarray, " _"]]) -> Iterator[Float[np.ndarray, " s"]]:
        """The same for sound that arrives in blocks, whose ends change nothing; what comes out is a window behind.

        Zeros lie before and after the sound, so that each of its samples is in equally many windows.
        """
        held = tail = np.zeros(_OVERLAP, np.float32)
        received, sent = 0, -_OVERLAP
        for block in itertools.chain(blocks, [None]):
            received += 0 if block is None else len(block)
            held = np.concatenate([held, np.zeros(WINDOW_SAMPLES, np.float32) if block is None else block])
            ready, tail = self._overlap_add(held, tail)
            held = held[len(ready) :]
            first = max(0, -sent)
            yield ready[first : received - sent if block is None else None]
            sent += len(ready)

    def _overlap_add(self, held: np.ndarray, tail: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The finished sound of all whole frames, and what they add to the next `_OVERLAP` samples."""
        count = max(0, (len(held) - _OVERLAP) // HOP_SAMPLES)
        sound = np.concatenate([tail, np.zeros(count * HOP_SAMPLES, np.float32)])
        if count:
            frames = np.lib.stride_tricks.sliding_window_view(held, WINDOW_SAMPLES)[::HOP_SAMPLES][:count]
            for first, frame in zip(range(0, count * HOP_SAMPLES, HOP_SAMPLES), self._denoised(frames), strict=True):
                sound[first : first + WINDOW_SAMPLES] += frame
        return sound[: count * HOP_SAMPLES], sound[count * HOP_SAMPLES :]

    def _denoised(self, frames: np.ndarray) -> Float[np.ndarray, "T window"]:
        window = _window()
        spectrum = np.fft.rfft(frames * window, axis=1)
        magnitude = np.abs(spectrum)
        kept = np.maximum(magnitude - self._subtracted, 0) / np.maximum(magnitude, 1e-12)
        weight = (window**2).reshape(-1, HOP_SAMPLES).sum(axis=0).mean()
        return np.fft.irfft(spectrum * kept, WINDOW_SAMPLES, axis=1) * (window / weight)


def _window() -> Float[np.ndarray, " window"]:
    return np.hanning(WINDOW_SAMPLES + 1)[:-1].astype(np.float32)
