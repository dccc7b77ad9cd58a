"""Rhythm, pitch and timbre of one recording put on another one of the same sentence.

The rhythm's owner gives the clock: its frames, its length and its rhythm code. What is used of the other recording is
first warped onto that clock by dynamic time warping, so that windows cut at the same frames hold the same words. The
recordings are aligned and rendered as a whole, which takes 0.1 GB a minute; `MAX_TRANSFER_S` limits their duration.

NOTE: SpeechSplit's authors swap within one padded window of 192 frames, the content on the source's clock, and leave it
to the decoder to lay it on the target's rhythm. That bounds the length, and needs a content code without any timing.
Warped content is what random resampling shows the content encoder in training, so a network that separates perfectly
loses nothing, and others keep time: with the embedded bundle the timing distance to the rhythm's owner (source left as
it is: 349 ms) falls to 232 ms the authors' way and to 94 ms with warping, on 12 pairs of test speakers.

Pitch goes through the F0 converter whenever its owner is not the clock's, which is the authors' rule for "pitch moves,
rhythm stays", and the same the other way round. Its register belongs to the voice: F0 is normalized over its own
recording and read with the mean and deviation of the timbre's owner.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from evc_jax.audio.chunking import join_windows, split_windows
from evc_jax.audio.config import AudioConfig
from evc_jax.conversion.aspects import TransferAspects
from evc_jax.conversion.engine import ConversionEngine, WindowInputs
from evc_jax.errors import AudioError
from evc_jax.features import dtw, time_warp
from evc_jax.features.extract import Features
from evc_jax.features.f0_codes import denormalize_f0, log_f0_statistics, normalize_f0, quantize_f0
from evc_jax.features.harmonics import move_harmonics

MAX_TRANSFER_S = 600.0


def check_durations(source: Features, target: Features, config: AudioConfig) -> None:
    """Raises AudioError where a recording is longer than `MAX_TRANSFER_S`."""
    for name, features in (("source", source), ("target", target)):
        duration_s = len(features.audio) / config.sample_rate_hz
        if duration_s > MAX_TRANSFER_S:
            raise AudioError(f"The {name} lasts {duration_s:.0f} s; a transfer takes up to {MAX_TRANSFER_S:.0f} s.")


def transfer_mel(
    source: Features, target: Features, aspects: TransferAspects, engine: ConversionEngine, config: AudioConfig
) -> Float[np.ndarray, "T F"]:
    """The mel-spectrogram of the source's content with the target's aspects.

    Args:
      source, target: of one sentence, of any lengths.
      aspects: what comes from the target.
      engine: the networks.
      config: of both features.

    Returns:
      as many frames as the rhythm's owner has, in [0, 1].

    Raises:
      BundleError: the F0 converter is needed and the bundle has none.
    """
    clock, pitch, timbre = (target if moves else source for moves in (aspects.rhythm, aspects.pitch, aspects.timbre))
    other = target if clock is source else source
    needs_other = clock is not source or pitch is not clock
    positions = dtw.align(clock.mel, other.mel) if needs_other else np.arange(len(clock.mel))
    mel, f0_hz = _on_clock(source, clock, positions)
    _, wanted_hz = _on_clock(pitch, clock, positions)
    statistics = log_f0_statistics(pitch.f0_hz)
    normalized = normalize_f0(wanted_hz, statistics)
    classes = split_windows(np.asarray(quantize_f0(normalized, engine.f0_classes)))
    if pitch is not clock:
        classes = engine.move_pitch(split_windows(clock.mel), split_windows(clock.f0_hz > 0), classes)
    if pitch is not timbre:
        wanted_hz = denormalize_f0(normalized, log_f0_statistics(timbre.f0_hz))
    content = split_windows(move_harmonics(mel, f0_hz, wanted_hz, config))
    count = len(content)
    inputs = WindowInputs(
        mel=content,
        rhythm_mel=split_windows(clock.mel),
        f0=classes,
        embedding=np.repeat(timbre.embedding[None], count, axis=0),
        emotion=np.zeros((*content.shape[:2], engine.emotion_classes), np.float32),
        strength=np.zeros(content.shape[:2], np.float32),
        pitch_gain=np.ones(count, np.float32),
    )
    return np.clip(join_windows(engine.convert(inputs), len(clock.mel)), 0, 1)


def _on_clock(
    features: Features, clock: Features, positions: np.ndarray
) -> tuple[Float[np.ndarray, "T F"], Float[np.ndarray, " T"]]:
    """Mel and F0 of a recording at the clock's frames."""
    if features is clock:
        return features.mel, features.f0_hz
    return time_warp.warp(features.mel, positions), time_warp.warp_f0(features.f0_hz, positions)
