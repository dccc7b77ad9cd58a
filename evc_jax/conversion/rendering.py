"""Rendering from the source: a conversion is a change, and the recording keeps everything that does not change.

- Nothing changes: the recording itself, sample for sample.
- The spectrum changes: the recording is filtered, with its own phases.
- The clock changes: pieces of the recording are laid on the new clock, where they continue each other.
- F0 changes: voiced stretches in which it does are resynthesized by WORLD, whose envelope keeps the formants where they
  are. Everything else, breath, fricatives and background, is the recording's own sound.

A change may be louder than full scale. Nothing is cut here: saving a file and the server's answer scale a recording
down as a whole (`audio.io.save`), so that no segment of a long recording gets a gain of its own.

NOTE: on 20 recordings of RAVDESS and EmoDB, DNSMOS and the voice's cosine (`features.speaker`) are 3.09 and 1 for the
recording. Six semitones up: 2.71 and 0.86 this way, 2.65 and 0.81 where WORLD resynthesizes unvoiced sound as well. A
fifth longer: 3.12 and 0.95 on pieces of the recording, 2.97 and 0.90 by WORLD.

Sources: differential-spectrum voice conversion (Kobayashi et al. 2014; arXiv 1907.11898), WORLD (Morise et al. 2016).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from evc_jax.audio.band_filter import filter_bands
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import frame_count
from evc_jax.audio.wsola import warp_sound
from evc_jax.features import time_warp
from evc_jax.features.extract import Features
from evc_jax.vocoders import world

INAUDIBLE_LOG_F0 = 1e-4  # a five-hundredth of a semitone; rounding is below


@dataclass(frozen=True, eq=False)
class Change:
    """What a conversion does to a recording, at the T2 frames of the output.

    Attributes:
      positions: the source's frame, with a fraction, that is rendered at each frame; never decreasing.
      log_f0: what is added to the natural logarithm of F0.
      filter_db: change of the spectrum in decibels for each of `AudioConfig.mel_bands`, overall gain included.
      voice_db: the same for another voice, whose level is the speech's; `render` leaves it to `timbre.with_voice`.
    """

    positions: Float[np.ndarray, " T2"]
    log_f0: Float[np.ndarray, " T2"]
    filter_db: Float[np.ndarray, "T2 F"]
    voice_db: Float[np.ndarray, "T2 F"] | None = None

    @classmethod
    def neutral(cls, frames: int, config: AudioConfig, rate: float = 1) -> Change:
        """No change but that of the rate, by which the output is faster and shorter."""
        filter_db = np.zeros((frames, config.mel_bands), np.float32)
        return cls(np.arange(frames) * float(rate), np.zeros(frames), filter_db)

    @property
    def keeps_clock(self) -> bool:
        """Whether every frame stays where it is."""
        return bool((self.positions == np.arange(len(self.positions))).all())

    @property
    def keeps_rate(self) -> bool:
        """Whether the output is everywhere as much faster than the source."""
        return bool(np.abs(np.diff(self.positions, n=2)).max(initial=0) < 1e-9)

    @property
    def is_neutral(self) -> bool:
        """Whether nothing changes at all."""
        return self.keeps_clock and not self.log_f0.any() and not self.filter_db.any() and self.voice_db is None

    def with_log_f0(self, log_f0: Float[np.ndarray, " T2"]) -> Change:
        """The change with so much more on log F0."""
        return replace(self, log_f0=self.log_f0 + log_f0)

    def with_filter(self, filter_db: Float[np.ndarray, "T2 F"]) -> Change:
        """The change with so many more decibels in the mel bands."""
        return replace(self, filter_db=self.filter_db + filter_db)

    def __add__(self, other: Change) -> Change:
        """Both changes together.

        Raises:
          ValueError: they have different clocks.
        """
        if not np.array_equal(self.positions, other.positions):
            raise ValueError("changes of different clocks cannot be added; make both at the positions of one")
        return self.with_log_f0(other.log_f0).with_filter(other.filter_db)


def render(features: Features, change: Change, samples: int, config: AudioConfig) -> Float[np.ndarray, " S2"]:
    """The recording with the change.

    Args:
      features: of the recording.
      change: of `frame_count(samples)` frames.
      samples: length of the output; that of the recording where the clock does not change.
      config: of the features.

    Returns:
      float32 samples at the level of `features.audio`; that array itself where the change is neutral.
    """
    if len(change.positions) != frame_count(samples, config):
        raise ValueError(f"a change of {len(change.positions)} frames cannot be rendered as {samples} samples")
    keeps_clock = change.keeps_clock and samples == len(features.audio)
    sound = features.audio
    if not keeps_clock:
        centres = np.clip(change.positions * config.hop_samples, 0, len(sound) - 1)
        sound = warp_sound(sound, centres, config.hop_samples, samples, config.sample_rate_hz)
    if np.abs(change.log_f0).max() > INAUDIBLE_LOG_F0:
        sound = _replace_voice(sound, features, change, config)
    return filter_bands(sound, change.filter_db, config)


def _replace_voice(
    sound: Float[np.ndarray, " S2"], features: Features, change: Change, config: AudioConfig
) -> Float[np.ndarray, " S2"]:
    """`sound`, the recording on the change's clock, with voiced stretches that WORLD synthesizes."""
    rate_hz, period = config.sample_rate_hz, round(world.PERIOD_S * config.sample_rate_hz)
    count = -(-len(sound) // period) + 1
    frames = np.arange(count) * period / config.hop_samples
    positions = np.interp(frames, np.arange(len(change.positions)), change.positions)
    source_hz = time_warp.warp_f0(features.f0_hz, positions)
    voiced = source_hz > 0
    if not voiced.any():
        return sound
    # Beside voiced stretches the F0 at their ends is used.
    log_f0 = np.interp(np.arange(count), np.flatnonzero(voiced), np.log(source_hz[voiced]))
    added = np.interp(frames, np.arange(len(change.log_f0)), change.log_f0)
    wanted, voiced = log_f0 + added, _stretches_with(voiced, np.abs(added) > INAUDIBLE_LOG_F0)
    times_s = positions * config.hop_samples / rate_hz
    voice, share = world.resynthesize(features.audio, times_s, np.exp(log_f0), np.exp(wanted), voiced, rate_hz)
    share, voice = share[: len(sound)], voice[: len(sound)]
    # Where F0 changes WORLD changes the level, by up to a decibel.
    before, after = (np.sum(np.square(each, dtype=np.float64)) for each in (share * sound, voice))
    return (1 - share) * sound + np.float32(np.sqrt(before / after) if after else 1) * voice


def _stretches_with(voiced: Bool[np.ndarray, " N"], wanted: Bool[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    """The voiced stretches that have a wanted frame, each as a whole: within one the phase would break."""
    found = np.zeros_like(voiced)
    for first, end in np.flatnonzero(np.diff(voiced, prepend=False, append=False)).reshape(-1, 2):
        found[first:end] = wanted[first:end].any()
    return found
