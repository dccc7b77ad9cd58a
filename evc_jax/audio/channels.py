"""Which channels of a recording become its mono version: their mean, unless that loses the speech.

The mean of channels of opposite polarity is silence, and the mean of speech and of noise is noisy. In both cases the
one channel with the most speech is taken. Speech rises far above its pauses; hum and hiss do not. Two speakers, one on
each side, stay together.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from evc_jax.audio.repair import large_offset

FRAME_S = 0.02
# Of the mean's power beside the sum of the channels' powers: below this, channels cancel. One channel alone gives 1.
MIN_KEPT_POWER = 0.5
# A channel whose level varies by less is noise or hum; a mean whose level varies by more is good.
NOISE_CONTRAST_DB = 12.0
ENOUGH_CONTRAST_DB = 45.0
CONTRAST_LOSS_DB = 6.0
CONTRAST_PERCENTILES = (10, 95)
LEVEL_RANGE_DB = (-140, 20)


class ChannelStatistics:
    """Covariance and levels of the channels of one recording, added block by block.

    A recording that is read in blocks is mixed exactly as one that is held as a whole. Two bytes for each frame
    and channel are all that grows with the length.
    """

    def __init__(self, channels: int, rate_hz: int):
        self._frame_samples = max(1, round(FRAME_S * rate_hz))
        self._held = np.zeros((0, channels))
        self._count = 0
        self._sums = np.zeros(channels)
        self._products = np.zeros((channels, channels))
        self._levels_db: list[np.ndarray] = []  # int16 [frames, channels + 1]: of the channels, then of their mean

    def add(self, block: Float[np.ndarray, "s channels"]) -> None:
        """Takes the next samples, floating point."""
        samples = np.concatenate([self._held, block.astype(np.float64)])
        frames = len(samples) // self._frame_samples
        used, self._held = np.split(samples, [frames * self._frame_samples])
        self._count += len(used)
        self._sums += used.sum(axis=0)
        self._products += used.T @ used
        signals = np.column_stack([used, used.mean(axis=1)]).reshape(frames, self._frame_samples, used.shape[1] + 1)
        levels_db = np.clip(10 * np.log10(signals.var(axis=1) + 1e-20), *LEVEL_RANGE_DB)
        self._levels_db.append(np.floor(levels_db).astype(np.int16))

    def best_channel(self) -> int | None:
        """The channel that stands for the recording, or None where the mean of all does."""
        if self._count == 0:
            return None
        _, covariance = self._moments()
        powers = np.diag(covariance)
        # How far the loud frames of each stand above the quiet ones.
        low_db, high_db = np.percentile(np.concatenate(self._levels_db), CONTRAST_PERCENTILES, axis=0, method="lower")
        contrasts_db = high_db - low_db
        speech_db = contrasts_db[:-1].max()
        cancels = covariance.sum() < MIN_KEPT_POWER * powers.sum()
        lacks_speech = contrasts_db < min(NOISE_CONTRAST_DB, speech_db - CONTRAST_LOSS_DB)
        loses_contrast = contrasts_db[-1] < min(ENOUGH_CONTRAST_DB, speech_db - CONTRAST_LOSS_DB)
        drowns = lacks_speech[:-1].any() and loses_contrast
        if not (cancels or drowns):
            return None
        with_speech = contrasts_db[:-1] >= speech_db - CONTRAST_LOSS_DB
        return int(np.argmax(np.where(with_speech, powers, -1)))

    def offset(self, channel: int | None) -> float:
        """What to subtract from the channel, or from the mean of all where it is None; 0 where that is small."""
        means, covariance = self._moments()
        if channel is None:
            return large_offset(float(means.mean()), float(np.sqrt(max(0.0, covariance.mean()))))
        return large_offset(float(means[channel]), float(np.sqrt(max(0.0, covariance[channel, channel]))))

    def _moments(self) -> tuple[Float[np.ndarray, " channels"], Float[np.ndarray, "channels channels"]]:
        means = self._sums / max(1, self._count)
        return means, self._products / max(1, self._count) - np.outer(means, means)
