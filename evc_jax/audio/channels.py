"""Which channels of a recording become its mono version: their mean, unless that loses the speech.

The mean of channels of opposite polarity is silence, and the mean of speech and of noise is noisy. In both cases the
one channel with the most speech is taken. Speech rises far above its pauses; hum and hiss do not. Two speakers, one on
each side, stay together.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

FRAME_S = 0.02
# Of the mean's power beside the sum of the channels' powers: below this, channels cancel. One channel alone gives 1.
MIN_KEPT_POWER = 0.5
# A channel whose level varies by less is noise or hum; a mean whose level varies by more is good.
NOISE_CONTRAST_DB = 12.0
ENOUGH_CONTRAST_DB = 45.0
CONTRAST_LOSS_DB = 6.0
CONTRAST_PERCENTILES = (10, 95)
_LEVELS_DB = np.arange(-140, 21)


class ChannelStatistics:
    """Covariance and levels of the channels of one recording, added block by block.

    The statistics take the same small memory whatever the length, so that a recording that is read in blocks is mixed
    exactly as one that is held as a whole.
    """

    def __init__(self, channels: int, rate_hz: int):
        self._frame_samples = max(1, round(FRAME_S * rate_hz))
        self._held = np.zeros((0, channels))
        self._count = 0
        self._sums = np.zeros(channels)
        self._products = np.zeros((channels, channels))
        self._histograms = np.zeros((channels + 1, len(_LEVELS_DB)), int)  # of the channels, then of their mean

    def add(self, block: Float[np.ndarray, "s channels"]) -> None:
        """Takes the next samples, floating point."""
        samples = np.concatenate([self._held, block.astype(np.float64)])
        frames = len(samples) // self._frame_samples
        used, self._held = np.split(samples, [frames * self._frame_samples])
        self._count += len(used)
        self._sums += used.sum(axis=0)
        self._products += used.T @ used
        signals = np.column_stack([used, used.mean(axis=1)]).reshape(frames, self._frame_samples, -1)
        levels_db = np.maximum(10 * np.log10(signals.var(axis=1) + 1e-20), _LEVELS_DB[0])
        for histogram, levels in zip(self._histograms, levels_db.T, strict=True):
            histogram += np.histogram(levels, [*_LEVELS_DB, np.inf])[0]

    def best_channel(self) -> int | None:
        """The channel that stands for the recording, or None where the mean of all does."""
        if self._count == 0:
            return None
        means = self._sums / self._count
        covariance = self._products / self._count - np.outer(means, means)
        powers = np.diag(covariance)
        contrasts_db = np.array([_contrast_db(histogram) for histogram in self._histograms])
        speech_db = contrasts_db[:-1].max()
        cancels = covariance.sum() < MIN_KEPT_POWER * powers.sum()
        lacks_speech = contrasts_db < min(NOISE_CONTRAST_DB, speech_db - CONTRAST_LOSS_DB)
        loses_contrast = contrasts_db[-1] < min(ENOUGH_CONTRAST_DB, speech_db - CONTRAST_LOSS_DB)
        drowns = lacks_speech[:-1].any() and loses_contrast
        if not (cancels or drowns):
            return None
        with_speech = contrasts_db[:-1] >= speech_db - CONTRAST_LOSS_DB
        return int(np.argmax(np.where(with_speech, powers, -1)))


def _contrast_db(histogram: np.ndarray) -> float:
    """How far the loud frames stand above the quiet ones."""
    ranks = np.asarray(CONTRAST_PERCENTILES) / 100 * (histogram.sum() - 1)
    low_db, high_db = _LEVELS_DB[np.searchsorted(np.cumsum(histogram), ranks, side="right")]
    return float(high_db - low_db)
