"""What an emotion changes in a recording that is rendered from the source: see `models.prosody`.

A mixture's change is that of its emotions, averaged: a pure emotion is what the network was trained on, and between two
of them there is no recording to learn from. NOTE: given both labels at once the network makes nearly the same change,
13 to 19 % of the distance between the two emotions away, but 3 to 14 % smaller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evc_jax.audio.chunking import join_windows, split_windows
from evc_jax.audio.config import AudioConfig
from evc_jax.conversion.engine import ConversionEngine
from evc_jax.features import prosody
from evc_jax.features.extract import Features
from evc_jax.features.prosody import CEPSTRA, SMOOTHING_FRAMES, ProsodyReference
from evc_jax.features.time_warp import smooth

# Beyond these the change of a frame is an error of the network, at any strength.
LARGEST_SEMITONES, LARGEST_GAIN_DB, LARGEST_SHAPE_DB, LARGEST_DURATION = 18.0, 25.0, 18.0, 2.0
# So far may the gain of a frame be from the recording's mean gain. RAVDESS keeps how loud a take was, EmoDB does not:
# for a recording that is like neither the network's gain wanders by 20 dB between phrases.
LARGEST_DRIFT_DB = 3.0


@dataclass(frozen=True, eq=False)
class ProsodyChange:
    """At the source's frames.

    Attributes:
      semitones: on F0.
      filter_db: on each mel band.
      log_duration: natural logarithm of how much longer each frame lasts; 0 in pauses.
    """

    semitones: Float[np.ndarray, " T"]
    filter_db: Float[np.ndarray, "T F"]
    log_duration: Float[np.ndarray, " T"]


def reference_of(features: Features, config: AudioConfig) -> ProsodyReference:
    """What the prosody of a recording is relative to: the recording as a whole."""
    return prosody.reference_of(_prosody(features, config))


def prosody_change(
    engine: ConversionEngine,
    features: Features,
    reference: ProsodyReference,
    weights: Float[np.ndarray, "T K"],
    timing: float,
    config: AudioConfig,
) -> ProsodyChange:
    """The change towards emotions.

    Args:
      engine: the networks.
      features: of the recording, or of a segment of it.
      reference: of the whole recording.
      weights: of the bundle's emotions at each frame: the change of an emotion times its weight.
      timing: factor of the change of durations besides; 0 keeps the source's.
      config: of the features.
    """
    measured = _prosody(features, config)
    track, summary = prosody.network_inputs(measured, reference)
    windows = split_windows(track)
    strongest = weights.sum(axis=1).max()
    change = np.zeros((len(track), prosody.CHANGE_CHANNELS))
    for number in np.flatnonzero(weights.any(axis=0)):
        emotion = np.eye(weights.shape[1], dtype=np.float32)[number]
        towards = smooth(join_windows(engine.change_prosody(windows, summary, emotion), len(track)), SMOOTHING_FRAMES)
        mean_db = towards[measured.active, 1].mean()
        drift_db = LARGEST_DRIFT_DB / strongest
        towards[:, 1] = mean_db + np.clip(towards[:, 1] - mean_db, -drift_db, drift_db)
        change += weights[:, number, None] * towards
    semitones = np.clip(change[:, 0], -LARGEST_SEMITONES, LARGEST_SEMITONES)
    speech = prosody.speech_share(measured, reference)
    gain_db = np.clip(change[:, 1:2], -LARGEST_GAIN_DB, LARGEST_GAIN_DB)
    shape = np.where(np.arange(CEPSTRA) == 0, 0, change[:, 1 : 1 + CEPSTRA])
    shape_db = np.clip(prosody.filter_of(shape, config.mel_bands), -LARGEST_SHAPE_DB, LARGEST_SHAPE_DB)
    longest = np.log(LARGEST_DURATION)
    log_duration = timing * np.clip(change[:, -1], -longest, longest) * measured.active
    return ProsodyChange(semitones, (speech * (gain_db + shape_db)).astype(np.float32), log_duration)


def _prosody(features: Features, config: AudioConfig) -> prosody.Prosody:
    return prosody.measure(features.mel, features.f0_hz, features.level_gain, config)
