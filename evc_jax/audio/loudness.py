"""How loud the speech of a recording is."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import frame_powers, frame_signal
from evc_jax.errors import AudioError

SILENCE_DBFS = -80.0
ACTIVE_RANGE_DB = 35.0
# Of the loudest frame above the quietest one, in a recording that is all below `SILENCE_DBFS`.
SPEECH_RANGE_DB = 10.0
# Filtering leaves this of a constant recording, by rounding.
DIGITAL_SILENCE_DBFS = -240.0
# A pop of no more than a hop is part of so many frames, and stands out of speech by as much.
POP_FRAMES = 5
POP_DB = 15.0


def active_level_dbfs(filtered: Float[np.ndarray, " S"], config: AudioConfig) -> float:
    """Level of the speech: root mean square over the frames within 35 dB of the loudest one; pauses do not count.

    Args:
      filtered: what `audio.highpass` made of the recording, so that an offset or rumble does not count either.
      config: its rate and frames.

    Raises:
      AudioError: the recording is silent; see `active_threshold`.
    """
    frames = frame_signal(filtered, config.window_samples, config.hop_samples)
    mean_powers = frame_powers(frames) / config.window_samples
    active = mean_powers > active_threshold(mean_powers)
    return float(10 * np.log10(mean_powers[active & (mean_powers <= loudest_power(mean_powers))].mean()))


def active_threshold(mean_powers: Float[np.ndarray, " T"]) -> float:
    """The mean power above which frames are speech.

    Raises:
      AudioError: all frames are zero, or all are quiet and equally so. Speech that is quieter than `SILENCE_DBFS`, as
        in a floating-point file, is no silence.
    """
    loudest, quietest = loudest_power(mean_powers), mean_powers.min()
    is_steady = loudest < quietest * 10 ** (SPEECH_RANGE_DB / 10)
    if loudest < 10 ** ((SILENCE_DBFS if is_steady else DIGITAL_SILENCE_DBFS) / 10):
        raise AudioError("the recording is silent; give one with speech.")
    return loudest * 10 ** (-ACTIVE_RANGE_DB / 10)


def loudest_power(powers: Float[np.ndarray, " T"]) -> float:
    """The largest power of a frame, without the few frames of a pop that stands far above all others."""
    rank = min(POP_FRAMES, len(powers) // 4)
    limit = np.partition(powers, -1 - rank)[-1 - rank] * 10 ** (POP_DB / 10)
    return float(powers[powers <= limit].max())
