"""Conversions that are rendered from the source: what the options ask for becomes a change of the recording.

An emotion changes prosody (`emotion`), or the spectrum where the bundle has CodeGAN only; another voice changes the
register, and the spectrum by what two decoded mels differ by; controls of pitch and rate need no network (`changes`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from evc_jax.audio.chunking import split_windows
from evc_jax.audio.mel import log_mel
from evc_jax.conversion import changes, emotion
from evc_jax.conversion.emotion import ProsodyChange
from evc_jax.conversion.engine import ConversionEngine, WindowInputs
from evc_jax.conversion.options import ConversionOptions, TransferAspects
from evc_jax.conversion.rendering import Change, render
from evc_jax.features import time_warp
from evc_jax.features.extract import Features
from evc_jax.features.f0_codes import LogF0Statistics, log_f0_statistics
from evc_jax.features.prosody import ProsodyReference
from evc_jax.pretrained.bundle import Bundle


class SourceRenderer:
    """Conversions with one bundle, see `converter.Converter`."""

    def __init__(self, bundle: Bundle, engine: ConversionEngine, window_inputs: Callable[..., WindowInputs]):
        """`window_inputs` is `Converter.window_inputs`, which the decoder needs."""
        self._bundle, self._engine, self._window_inputs = bundle, engine, window_inputs

    def convert(
        self,
        features: Features,
        options: ConversionOptions,
        statistics: LogF0Statistics,
        embedding: Float[np.ndarray, " C"],
        reference: ProsodyReference | None = None,
    ) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, "T F"], Float[np.ndarray, " T"] | None]:
        """Sound at the source's own level, its mel, and `Conversion.positions`; arguments as in `requested_change`."""
        change, samples = self.requested_change(features, options, statistics, embedding, reference)
        return *self._render(features, change, samples), None if change.keeps_rate else change.positions

    def transfer(
        self, source: Features, target: Features, aspects: TransferAspects
    ) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, "T F"]]:
        """The source with aspects of another recording of the same sentence; sound and mel."""
        filter_db = np.zeros_like(source.mel)
        if aspects.timbre:
            statistics = log_f0_statistics(source.f0_hz)
            filter_db = self._decoded_filter(source, target.embedding, statistics, ConversionOptions())
        change = changes.transferred(source, target, aspects, filter_db)
        return self._render(source, change, len((target if aspects.rhythm else source).audio))

    def requested_change(
        self,
        features: Features,
        options: ConversionOptions,
        statistics: LogF0Statistics,
        embedding: Float[np.ndarray, " C"],
        reference: ProsodyReference | None = None,
    ) -> tuple[Change, int]:
        """What the options change in a recording, and how many samples it then has.

        Networks are read and called for an emotion or another voice only.

        Args:
          features: of the recording, or of a segment of it.
          options: what to change.
          statistics: of the whole recording's F0.
          embedding: the wished voice.
          reference: the whole recording's prosody; None takes that of the features.
        """
        emotional = options.emotion is not None and options.strength > 0
        prosody = self._prosody_change(features, options, reference) if emotional else None
        log_duration = None if prosody is None else prosody.log_duration
        change, samples = changes.clock(len(features.audio), options.rate, log_duration, self._bundle.audio)
        is_other = not np.array_equal(embedding, features.embedding)
        register = self._bundle.register if is_other else None
        voice = changes.register_change(register, features.embedding, embedding)
        change = changes.melody(features, change, statistics, options, voice)
        if prosody is not None:
            change = changes.with_prosody(change, prosody)
        by_codes = emotional and prosody is None
        if is_other or by_codes:
            wished = ConversionOptions(emotion=options.emotion, strength=options.strength) if by_codes else None
            filter_db = self._decoded_filter(features, embedding, statistics, wished or ConversionOptions())
            change = change.with_filter(time_warp.warp(filter_db, change.positions))
        return change, samples

    def _prosody_change(
        self, features: Features, options: ConversionOptions, reference: ProsodyReference | None
    ) -> ProsodyChange | None:
        """That of the requested emotion; None where the bundle has no prosody network."""
        if not self._bundle.has("prosody"):
            return None
        config, emotions = self._bundle.audio, self._bundle.emotions
        weights = np.eye(len(emotions), dtype=np.float32)[emotions.index(options.emotion)]
        reference = reference or emotion.reference_of(features, config)
        size = (options.strength, 1 - options.keep_timing)
        return emotion.prosody_change(self._engine, features, reference, weights, *size, config)

    def _decoded_filter(
        self,
        features: Features,
        embedding: Float[np.ndarray, " C"],
        statistics: LogF0Statistics,
        options: ConversionOptions,
    ) -> Float[np.ndarray, "T F"]:
        """What another voice and CodeGAN's emotion change in the spectrum, at the recording's own rate and melody."""
        windows = split_windows(features.mel), split_windows(features.f0_hz)
        as_is = self._window_inputs(*windows, features.embedding, statistics, ConversionOptions())
        wished = self._window_inputs(*windows, embedding, statistics, options)
        return changes.decoded_filter(self._engine, as_is, wished, len(features.mel), self._bundle.audio)

    def _render(
        self, features: Features, change: Change, samples: int
    ) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, "T F"]]:
        sound = render(features, change, samples, self._bundle.audio)
        is_same = sound is features.audio
        mel = features.mel if is_same else np.clip(log_mel(sound, self._bundle.audio), 0, 1)
        return sound / np.float32(features.level_gain), mel
