"""What an emotion changes in a recording that is rendered from the source: see `models.prosody`."""

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
    emotion: Float[np.ndarray, " K"],
    strength: float,
    timing: float,
    config: AudioConfig,
) -> ProsodyChange:
    """The change towards an emotion.

    Args:
      engine: the networks.
      features: of the recording, or of a segment of it.
      reference: of the whole recording.
      emotion: weights of the bundle's emotions.
      strength: factor of the change.
      timing: factor of its durations besides; 0 keeps the source's.
      config: of the features.
    """
    measured = _prosody(features, config)
    track, summary = prosody.network_inputs(measured, reference)
    windows = engine.change_prosody(split_windows(track), summary, emotion)
    change = strength * smooth(join_windows(windows, len(track)), SMOOTHING_FRAMES)
    semitones = np.clip(change[:, 0], -LARGEST_SEMITONES, LARGEST_SEMITONES)
    speech = prosody.speech_share(measured, reference)
    cepstra_db = change[:, 1 : 1 + CEPSTRA]
    mean_db = cepstra_db[measured.active, 0].mean()
    drift_db = np.clip(cepstra_db[:, :1] - mean_db, -LARGEST_DRIFT_DB, LARGEST_DRIFT_DB)
    gain_db = np.clip(mean_db + drift_db, -LARGEST_GAIN_DB, LARGEST_GAIN_DB)
    shape_db = prosody.filter_of(np.where(np.arange(CEPSTRA) == 0, 0, cepstra_db), config.mel_bands)
    filter_db = speech * (gain_db + np.clip(shape_db, -LARGEST_SHAPE_DB, LARGEST_SHAPE_DB))
    longest = np.log(LARGEST_DURATION)
    log_duration = timing * np.clip(change[:, -1], -longest, longest) * measured.active
    return ProsodyChange(semitones, filter_db.astype(np.float32), log_duration)


def _prosody(features: Features, config: AudioConfig) -> prosody.Prosody:
    return prosody.measure(features.mel, features.f0_hz, features.level_gain, config)
