"""What the networks of the decoder get: windows of a recording, with the requested pitch, voice and emotion."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from evc_jax.audio.chunking import split_windows
from evc_jax.audio.config import AudioConfig
from evc_jax.conversion import controls
from evc_jax.conversion.engine import ConversionEngine, WindowInputs
from evc_jax.conversion.options import ConversionOptions
from evc_jax.features.f0_codes import LogF0Statistics, normalize_f0, quantize_f0
from evc_jax.features.harmonics import move_harmonics


def window_inputs(
    engine: ConversionEngine,
    config: AudioConfig,
    mel: Float[np.ndarray, "N T F"],
    f0_hz: Float[np.ndarray, "N T"],
    embedding: Float[np.ndarray, " C"],
    statistics: LogF0Statistics,
    options: ConversionOptions,
    weights: Float[np.ndarray, "T2 K"] | None = None,
) -> WindowInputs:
    """Windows of one recording as `ConversionEngine.convert` takes them.

    Args:
      engine, config: of the bundle.
      mel, f0_hz: windows from `chunking.split_windows`, at the requested rate; F0 in Hz.
      embedding: the voice to decode with.
      statistics: of the whole recording's F0.
      options: what to change.
      weights: of CodeGAN's emotions at the frames of the recording; None leaves it as it is.
    """
    count, frames, classes = *mel.shape[:2], engine.emotion_classes
    target_f0_hz = controls.change_pitch(f0_hz, statistics, options.pitch_range, options.pitch_shift)
    pitch_gain = controls.remaining_range(options)
    mel_f0_hz = controls.change_pitch(f0_hz, statistics, options.pitch_range * pitch_gain, options.pitch_shift)
    mel = move_harmonics(mel, f0_hz, mel_f0_hz, config)
    normalized = normalize_f0(target_f0_hz.reshape(-1), statistics).reshape(f0_hz.shape)
    f0 = np.asarray(quantize_f0(normalized, engine.f0_classes))
    wished, strength = np.zeros((count, frames, classes), np.float32), np.zeros((count, frames), np.float32)
    if weights is not None:
        strength = split_windows(weights.sum(axis=1))
        # Where no emotion is asked for, the network gets the mean of the rest.
        mean = weights.mean(axis=0) / weights.mean(axis=0).sum()
        present = strength[..., None] > 0
        wished = np.where(present, split_windows(weights) / np.where(present, strength[..., None], 1), mean)
    voice = np.repeat(embedding[None], count, axis=0)
    return WindowInputs(mel, mel, f0, voice, wished, strength, np.full(count, pitch_gain, np.float32))
