"""What the options ask for, and what the networks make of it, as a `rendering.Change` of the recording."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from evc_jax.audio.chunking import join_windows
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import frame_count
from evc_jax.conversion.aspects import TransferAspects
from evc_jax.conversion.controls import remaining_range, speech_power
from evc_jax.conversion.emotion import ProsodyChange
from evc_jax.conversion.engine import ConversionEngine, WindowInputs
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.rendering import Change
from evc_jax.features import dtw, time_warp
from evc_jax.features.extract import Features
from evc_jax.features.f0_codes import (
    SEMITONES_PER_NEPER,
    LogF0Statistics,
    log_f0_statistics,
    log_f0_without_gaps,
)
from evc_jax.features.harmonics import envelope_filter
from evc_jax.features.register import Register

# What the autoencoder blurs is the same in both decoded mels; finer differences than these are its errors.
FILTER_CEPSTRA = 10
FILTER_FRAMES = 7
LARGEST_FILTER_DB = 15.0
# Of the ratio of two voices' deviations of log F0, either way.
LARGEST_RANGE_FACTOR = 2.0
LARGEST_SHIFT = 0.75  # of log F0, 13 semitones

SAME_MELODY = LogF0Statistics(0.0, 1.0)


def clock(
    samples: int, rate: float, log_duration: Float[np.ndarray, " T"] | None, config: AudioConfig
) -> tuple[Change, int]:
    """The change of timing alone, and how many samples the output has.

    Args:
      samples: of the source.
      rate: by which the output is faster as a whole.
      log_duration: how much longer each of the source's frames lasts, if not all as long; natural logarithm.
      config: of the recording.
    """
    if log_duration is None or not log_duration.any():
        samples = time_warp.samples_at_rate(samples, rate)
        return Change.neutral(frame_count(samples, config), config, rate), samples
    durations = np.exp(log_duration.astype(np.float64)) / rate
    times = np.concatenate([[0], np.cumsum((durations[1:] + durations[:-1]) / 2)])  # in frames of the output
    rest = samples - (len(durations) - 1) * config.hop_samples
    samples = round(times[-1] * config.hop_samples + rest / rate)
    frames = frame_count(samples, config)
    positions = np.interp(np.arange(frames), times, np.arange(len(times)))
    return replace(Change.neutral(frames, config), positions=positions), samples


def with_prosody(change: Change, emotion: ProsodyChange) -> Change:
    """The change with that of an emotion's melody and spectrum; its clock already has the durations."""
    log_f0 = np.interp(change.positions, np.arange(len(emotion.semitones)), emotion.semitones / SEMITONES_PER_NEPER)
    return change.with_log_f0(log_f0).with_filter(time_warp.warp(emotion.filter_db, change.positions))


def melody(
    features: Features,
    change: Change,
    statistics: LogF0Statistics,
    options: ConversionOptions,
    voice: LogF0Statistics = SAME_MELODY,
) -> Change:
    """The change with that of F0, which needs no network.

    Shift and range act on the melody that emotion and voice have made: a range of 2 doubles what an emotion adds, too.

    Args:
      features: of the recording.
      change: on whose clock it is; what it adds to F0 is an emotion's.
      statistics: of the whole recording's F0.
      options: `pitch_shift`, `pitch_range` and `flatten_pitch` of them.
      voice: what another voice adds to the mean, and the factor of the deviation; see `register_change`.
    """
    factor = options.pitch_range * remaining_range(options)
    log_f0 = np.full(len(change.positions), voice.mean + options.pitch_shift / SEMITONES_PER_NEPER)
    if factor != 1 or voice.std != 1:
        source = _log_f0(features, change.positions, statistics.mean) - statistics.mean
        voiced = time_warp.warp_f0(features.f0_hz, change.positions) > 0
        emotion = change.log_f0 - (change.log_f0[voiced].mean() if voiced.any() else 0)
        log_f0 += factor * (voice.std * source + emotion) - (source + emotion)
    return change.with_log_f0(log_f0)


def changed_power(features: Features, change: Change, config: AudioConfig) -> Float[np.ndarray, " F"]:
    """`controls.speech_power` of a recording with the change."""
    mel = time_warp.warp(features.mel, change.positions) + change.filter_db / config.range_db
    return speech_power(mel, config)


def register_change(
    register: Register | None,
    source: Float[np.ndarray, " C"],
    wished: Float[np.ndarray, " C"],
    statistics: LogF0Statistics,
    share: float,
) -> LogF0Statistics:
    """How the mean of log F0 moves from one voice to another, and by which factor its deviation does.

    Args:
      register: how high a voice speaks; None changes nothing.
      source, wished: embeddings of the voices, the wished one already a mixture where only a share is asked for.
      statistics: of the source, which need not speak as high as its embedding lets one expect.
      share: of the way to the other voice, from 0 to 1.
    """
    if register is None:
        return SAME_MELODY
    ours, theirs = register.predict(source), register.predict(wished)
    factor = np.clip(theirs.std / ours.std, 1 / LARGEST_RANGE_FACTOR, LARGEST_RANGE_FACTOR)
    shift = theirs.mean - ours.mean + share * (ours.mean - statistics.mean)
    return LogF0Statistics(float(np.clip(shift, -LARGEST_SHIFT, LARGEST_SHIFT)), float(factor))


def decoded_filter(
    engine: ConversionEngine, as_is: WindowInputs, wished: WindowInputs, frames: int, config: AudioConfig
) -> Float[np.ndarray, "T F"]:
    """The change of the spectrum in decibels by which two decoded mels differ.

    Smoothed over cepstra and frames, and bounded by `LARGEST_FILTER_DB`.

    Args:
      engine: the networks.
      as_is, wished: windows of the same frames of one recording, as they are and as they are to be.
      frames: of the recording.
      config: of the mel.
    """
    before, after = (np.clip(join_windows(engine.convert(each), frames), 0, 1) for each in (as_is, wished))
    difference_db = config.range_db * (after - before) @ envelope_filter(config.mel_bands, FILTER_CEPSTRA)
    smooth_db = time_warp.smooth(difference_db, FILTER_FRAMES)
    return (LARGEST_FILTER_DB * np.tanh(smooth_db / LARGEST_FILTER_DB)).astype(np.float32)


def transferred(
    source: Features, target: Features, aspects: TransferAspects, source_filter_db: Float[np.ndarray, "T F"]
) -> Change:
    """The change by which the source gets aspects of another recording of the same sentence.

    As in `transfer`, the register of F0 belongs to the owner of the timbre.

    Args:
      source, target: of one sentence, of any lengths.
      aspects: what comes from the target.
      source_filter_db: what the target's voice changes in the spectrum, at the source's frames; zeros without timbre.
    """
    frames = len((target if aspects.rhythm else source).mel)
    positions, of_target = np.arange(frames, dtype=np.float64), np.arange(frames, dtype=np.float64)
    if aspects.rhythm:
        positions = _rising(dtw.align(target.mel, source.mel), len(source.mel))
    elif aspects.pitch:
        of_target = _rising(dtw.align(source.mel, target.mel), len(target.mel))
    log_f0 = np.zeros(frames)
    pitch, timbre = (target if moves else source for moves in (aspects.pitch, aspects.timbre))
    if (pitch is target or timbre is target) and (source.f0_hz > 0).any() and (target.f0_hz > 0).any():
        ours, theirs, register = (log_f0_statistics(each.f0_hz) for each in (source, pitch, timbre))
        before = _log_f0(source, positions, ours.mean)
        melody = _log_f0(target, of_target, theirs.mean) if pitch is target else before
        log_f0 = (melody - theirs.mean) * register.std / theirs.std + register.mean - before
    return Change(positions, log_f0, time_warp.warp(source_filter_db, positions))


def _rising(positions: np.ndarray, frames: int) -> np.ndarray:
    return np.clip(np.maximum.accumulate(positions.astype(np.float64)), 0, frames - 1)


def _log_f0(features: Features, positions: np.ndarray, default: float) -> Float[np.ndarray, " T"]:
    """Log F0 at positions of a recording, without gaps: interpolated where it is unvoiced, `default` if it all is."""
    return log_f0_without_gaps(time_warp.warp_f0(features.f0_hz, positions), default)
