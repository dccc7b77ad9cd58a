"""The one extraction path: a recording becomes its features, for training data and for conversion alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evc_jax.audio import io as audio_io
from evc_jax.audio import loudness
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import add_dither, highpass, mel_of_conditioned
from evc_jax.features import pitch, speaker

# Power of what the high-pass takes away, above the speech's: ordinary recordings are below.
LARGEST_RUMBLE_DB = 0.0
# The dither would drown quieter speech, so the embedder's own gain comes before it.
DITHER_AUDIBLE_DBFS = -70.0


@dataclass(frozen=True)
class Features:
    """What the networks know of a recording; T = S // hop + 1.

    Attributes:
      audio: mono samples at the config's rate, at the config's level.
      mel: log-mel spectrogram, clipped to [0, 1].
      f0_hz: fundamental frequency, 0 where unvoiced.
      embedding: who speaks; non-negative, of unit length.
      level_gain: what the recording was multiplied with to give `audio`; divide an output by it to return to the
        recording's own level.
    """

    audio: Float[np.ndarray, " S"]
    mel: Float[np.ndarray, "T F"]
    f0_hz: Float[np.ndarray, " T"]
    embedding: Float[np.ndarray, " E"]
    level_gain: float


@dataclass(frozen=True)
class Analysis:
    """`Features` of a recording before it is embedded, and the samples for the embedder, at its rate."""

    audio: Float[np.ndarray, " S"]
    mel: Float[np.ndarray, "T F"]
    f0_hz: Float[np.ndarray, " T"]
    voice: Float[np.ndarray, " S2"]
    level_gain: float


def extract(
    audio: np.ndarray,
    rate_hz: int,
    config: AudioConfig | None = None,
    embedder: speaker.Embedder | None = None,
    level_gain: float | None = None,
) -> Features:
    """Extracts all features of a recording.

    NOTE: the original takes recordings at the level they come at; here speech is first brought to
    `config.level_dbfs`, so that corpora match and a conversion does not depend on the microphone's gain. With
    `level_dbfs=None` the mel is the original's; the embedding always is.

    Args:
      audio: [S] or [S, channels], floating point or integer.
      rate_hz: its sample rate.
      config: what the features are; the default `AudioConfig` when None.
      embedder: gives the speaker embedding; `speaker.embed` when None.
      level_gain: `Features.level_gain` of the recording that this one is a part of; None measures it.

    Returns:
      the features, all float32, with T = len(features.audio) // hop + 1 frames.

    Raises:
      AudioError: the recording is malformed, too short or silent.
    """
    analysis = analyse(audio, rate_hz, config, level_gain)
    embedding = (embedder or speaker.embed)(analysis.voice)
    return Features(analysis.audio, analysis.mel, analysis.f0_hz, embedding, analysis.level_gain)


def analyse(
    audio: np.ndarray, rate_hz: int, config: AudioConfig | None = None, level_gain: float | None = None
) -> Analysis:
    """`extract` but for the embedding, so that the embeddings of several recordings can be computed at once."""
    config = config or AudioConfig()
    recorded = audio_io.to_mono(audio, rate_hz, config.sample_rate_hz)
    filtered = highpass(recorded, config)
    level_dbfs = loudness.active_level_dbfs(filtered, config)
    target_dbfs = level_dbfs if config.level_dbfs is None else config.level_dbfs
    # A few peaks may pass full scale.
    gain = float(10 ** ((target_dbfs - level_dbfs) / 20)) if level_gain is None else level_gain
    samples = _without_rumble(recorded, filtered, level_dbfs) * np.float32(gain)
    conditioned = add_dither(filtered * gain, config)
    return Analysis(
        audio=samples,
        mel=np.clip(mel_of_conditioned(conditioned, config), 0, 1),
        f0_hz=pitch.f0_of_conditioned(conditioned, config),
        # Resemblyzer has a level rule of its own; after another one it tells speakers apart less well.
        voice=_for_embedder(filtered, level_dbfs, config),
        level_gain=gain,
    )


def _without_rumble(recorded: np.ndarray, filtered: np.ndarray, level_dbfs: float) -> np.ndarray:
    """The recording; the high-passed one where what lies below is loud, as it would not fit full scale."""
    rumble_power = np.mean(np.square(recorded - filtered))
    is_loud = rumble_power > 10 ** ((level_dbfs + LARGEST_RUMBLE_DB) / 10)
    return filtered.astype(np.float32) if is_loud else recorded


def _for_embedder(filtered: np.ndarray, level_dbfs: float, config: AudioConfig) -> np.ndarray:
    """The conditioned waveform at the embedder's rate, which the original embeds, too."""
    if level_dbfs < DITHER_AUDIBLE_DBFS:
        filtered = filtered * speaker.raising_gain(float(np.mean(np.square(filtered))))
    samples = add_dither(filtered, config).astype(np.float32)
    if config.sample_rate_hz == speaker.SAMPLE_RATE_HZ:
        return samples
    return audio_io.to_mono(samples, config.sample_rate_hz, speaker.SAMPLE_RATE_HZ)
