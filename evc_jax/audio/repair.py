"""Faults of recordings that would change the features of the whole: a constant offset, and isolated clicks.

Recordings without them come back as they are, bit for bit.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# Beside the standard deviation. Offsets of ordinary recordings are below 0.05.
LARGEST_OFFSET = 0.1
CLICK_S = 0.001
CLICK_SURROUNDINGS_S = 0.01
# A click stands above the root mean square, and above all that surrounds it. Of 600 recordings of four corpora, one has
# such a sample.
CLICK_CREST = 8.0
CLICK_FACTOR = 4.0


def large_offset(mean: float, deviation: float) -> float:
    """What to subtract from a recording of this mean and standard deviation: the mean where it is large, else 0."""
    return mean if abs(mean) > LARGEST_OFFSET * deviation else 0.0


def remove_offset(audio: Float[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
    """Subtracts the mean where it is large; resampling would make a click of it at both ends."""
    offset = large_offset(float(audio.mean(dtype=np.float64)), float(audio.std(dtype=np.float64)))
    return audio - audio.dtype.type(offset) if offset else audio


def remove_clicks(audio: Float[np.ndarray, " S"], rate_hz: int) -> Float[np.ndarray, " S"]:
    """Replaces clicks of at most a millisecond by a straight line between the samples beside them.

    A pulse of speech rings on for longer than that, so that no more than a fourth of it is never left.
    """
    guard, around = round(CLICK_S * rate_hz), round(CLICK_SURROUNDINGS_S * rate_hz)
    magnitudes = np.abs(audio)
    candidates = np.flatnonzero(magnitudes > CLICK_CREST * np.sqrt(np.mean(np.square(audio, dtype=np.float64))))
    repaired = audio
    while len(candidates):
        run = candidates[candidates <= candidates[0] + guard]
        candidates = candidates[len(run) :]
        peak = run[magnitudes[run].argmax()]
        first, end = max(0, peak - guard), min(len(audio), peak + guard + 1)
        rest = max(
            magnitudes[max(0, first - around) : first].max(initial=0), magnitudes[end : end + around].max(initial=0)
        )
        if CLICK_FACTOR * rest < magnitudes[peak]:
            loud = first + np.flatnonzero(magnitudes[first:end] > rest)
            repaired = repaired.copy() if repaired is audio else repaired
            first, end = int(loud[0]), int(loud[-1]) + 1
            # A line between the samples beside them; at the ends of a recording the one that there is.
            known = [position for position in (first - 1, end) if 0 <= position < len(audio)]
            repaired[first:end] = np.interp(np.arange(first, end), known, repaired[known]) if known else 0
    return repaired
