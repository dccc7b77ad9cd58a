"""How loud the speech of a recording is, and the gain that brings it to the level that the features want."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import frame_powers, frame_signal
from evc_jax.errors import AudioError

SILENCE_DBFS = -80.0
ACTIVE_RANGE_DB = 35.0
MAX_PEAK = 0.99


def gain_to_level(level_dbfs: float, peak: float | np.floating, config: AudioConfig) -> float:
    """Factor that brings speech to `config.level_dbfs`, smaller where peaks would pass full scale.

    Args:
      level_dbfs: of the speech as it is.
      peak: the largest absolute sample.
      config: says the wanted level.
    """
    if config.level_dbfs is None:
        return 1.0
    return float(min(10 ** ((config.level_dbfs - level_dbfs) / 20), MAX_PEAK / peak))


def active_level_dbfs(filtered: Float[np.ndarray, " S"], config: AudioConfig) -> float:
    """Level of the speech: root mean square over the frames within 35 dB of the loudest one; pauses do not count.

    Args:
      filtered: what `audio.highpass` made of the recording, so that an offset or rumble does not count either.
      config: its rate and frames.

    Raises:
      AudioError: no frame is louder than `SILENCE_DBFS`.
    """
    frames = frame_signal(filtered, config.window_samples, config.hop_samples)
    mean_powers = frame_powers(frames) / config.window_samples
    active = mean_powers[mean_powers > active_threshold(mean_powers.max())]
    return float(10 * np.log10(active.mean()))


def active_threshold(loudest: float) -> float:
    """The mean power above which frames are speech, given the loudest frame's.

    Raises:
      AudioError: no frame is louder than `SILENCE_DBFS`.
    """
    if loudest < 10 ** (SILENCE_DBFS / 10):
        raise AudioError(f"the recording is silent (nothing above {SILENCE_DBFS:.0f} dBFS); give one with speech.")
    return loudest * 10 ** (-ACTIVE_RANGE_DB / 10)
