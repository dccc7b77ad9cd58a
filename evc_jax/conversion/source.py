"""Conversions that are rendered from the source: what the options ask for becomes a change of the recording.

An emotion changes prosody (`emotion`), or the spectrum where the bundle has CodeGAN only. Another voice changes the
register, and the spectrum as the timbre converter proposes, or by what two decoded mels differ by; then the sound
is filtered to match the wished voice (`timbre`). Controls of pitch and rate need no network (`changes`).

NOTE: an emotion's F0 moves the voice encoder's embedding away from the speaker's, and the same filter would bring it
back: cosine 0.72 to 0.78 on 36 conversions of validation speakers. A verifier that it was not chosen by says the
opposite (0.71 to 0.67), and the emotion is recognised less often (0.64 to 0.56). So it is for other voices only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evc_jax.audio.chunking import split_windows
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import log_mel
from evc_jax.conversion import changes, emotion, timbre
from evc_jax.conversion.emotion import ProsodyChange
from evc_jax.conversion.engine import ConversionEngine, WindowInputs
from evc_jax.conversion.options import ConversionOptions, TransferAspects
from evc_jax.conversion.rendering import Change, render
from evc_jax.features import time_warp
from evc_jax.features.extract import Features
from evc_jax.features.f0_codes import LogF0Statistics, log_f0_statistics
from evc_jax.features.prosody import ProsodyReference
from evc_jax.pretrained.bundle import Bundle


@dataclass(frozen=True, eq=False)
class WholeRecording:
    """What a segment takes over from the recording that it is a part of.

    Attributes:
      features: of the recording, or of a part that stands for it.
      config: of the features.
      match_db: the filter that matches the wished voice; None is made anew, from the segment alone.
    """

    features: Features
    config: AudioConfig
    match_db: Float[np.ndarray, " F"] | None = None

    @functools.cached_property
    def statistics(self) -> LogF0Statistics:
        """Of its F0."""
        return log_f0_statistics(self.features.f0_hz)

    @functools.cached_property
    def prosody(self) -> ProsodyReference:
        """What that of a segment is relative to."""
        return emotion.reference_of(self.features, self.config)


class SourceRenderer:
    """Conversions with one bundle, see `converter.Converter`.

    In its methods `features` are those of a recording or of a segment of it, `whole` what is known of the recording,
    and `embedding` is the wished voice.
    """

    def __init__(self, bundle: Bundle, engine: ConversionEngine, window_inputs: Callable[..., WindowInputs]):
        """`window_inputs` is `Converter.window_inputs`, which the decoder needs."""
        self._bundle, self._engine, self._window_inputs = bundle, engine, window_inputs

    def convert(
        self, features: Features, options: ConversionOptions, embedding: Float[np.ndarray, " C"], whole: WholeRecording
    ) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, "T F"], Float[np.ndarray, " T"] | None]:
        """Sound at the source's own level, its mel, and `Conversion.positions`."""
        change, samples = self.requested_change(features, options, embedding, whole)
        rendered = self._render(features, change, samples, embedding, whole.match_db)
        return *rendered, None if change.keeps_rate else change.positions

    def transfer(
        self, source: Features, target: Features, aspects: TransferAspects
    ) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, "T F"]]:
        """The source with aspects of another recording of the same sentence; sound and mel."""
        filter_db = np.zeros_like(source.mel)
        if aspects.timbre:
            ours, theirs = (log_f0_statistics(each.f0_hz) for each in (source, target))
            shift = theirs.mean - ours.mean
            filter_db = self._voice_filter(source, target.embedding, ours, shift, ConversionOptions())
        change = changes.transferred(source, target, aspects, filter_db)
        samples = len((target if aspects.rhythm else source).audio)
        return self._render(source, change, samples, target.embedding if aspects.timbre else source.embedding)

    def matching_filter_db(
        self, features: Features, options: ConversionOptions, embedding: Float[np.ndarray, " C"], whole: WholeRecording
    ) -> Float[np.ndarray, " F"] | None:
        """`WholeRecording.match_db`, from a part of a recording that stands for it; None where none is needed."""
        if options.rendering_of(self._bundle) == "decoder" or np.array_equal(embedding, features.embedding):
            return None
        change, samples = self.requested_change(features, options, embedding, whole)
        sound = render(features, change, samples, self._bundle.audio)
        known = self._bundle.known_voice(embedding)
        return timbre.matching_filter_db(sound, features.embedding, embedding, self._bundle.audio, known)

    def requested_change(
        self, features: Features, options: ConversionOptions, embedding: Float[np.ndarray, " C"], whole: WholeRecording
    ) -> tuple[Change, int]:
        """What the options change in a recording, and how many samples it then has.

        Networks are read and called for an emotion or another voice only.
        """
        emotional = _is_emotional(options)
        prosody = self._prosody_change(features, options, whole.prosody) if emotional else None
        log_duration = None if prosody is None else prosody.log_duration
        change, samples = changes.clock(len(features.audio), options.rate, log_duration, self._bundle.audio)
        is_other = not np.array_equal(embedding, features.embedding)
        register = self._bundle.register if is_other else None
        voices = features.embedding, embedding
        voice = changes.register_change(register, *voices, whole.statistics, options.timbre)
        change = changes.melody(features, change, whole.statistics, options, voice)
        if prosody is not None:
            change = changes.with_prosody(change, prosody)
        by_codes = emotional and prosody is None
        if is_other or by_codes:
            wished = ConversionOptions(emotion=options.emotion, strength=options.strength) if by_codes else None
            filter_db = self._voice_filter(
                features, embedding, whole.statistics, voice.mean, wished or ConversionOptions()
            )
            change = change.with_filter(time_warp.warp(filter_db, change.positions))
        return change, samples

    def _prosody_change(
        self, features: Features, options: ConversionOptions, reference: ProsodyReference
    ) -> ProsodyChange | None:
        """That of the requested emotion; None where the bundle has no prosody network."""
        if not self._bundle.has("prosody"):
            return None
        config, emotions = self._bundle.audio, self._bundle.emotions_of("prosody")
        weights = np.eye(len(emotions), dtype=np.float32)[emotions.index(options.emotion)]
        size = (options.strength, 1 - options.keep_timing)
        return emotion.prosody_change(self._engine, features, reference, weights, *size, config)

    def _voice_filter(
        self,
        features: Features,
        embedding: Float[np.ndarray, " C"],
        statistics: LogF0Statistics,
        register_shift: float,
        options: ConversionOptions,
    ) -> Float[np.ndarray, "T F"]:
        """What another voice and CodeGAN's emotion change in the spectrum, at the recording's own rate and melody."""
        if self._bundle.has("timbre_converter") and options.emotion is None:
            converter = self._bundle.network("timbre_converter")
            return timbre.proposed_change_db(features, embedding, register_shift, converter)
        windows = split_windows(features.mel), split_windows(features.f0_hz)
        as_is = self._window_inputs(*windows, features.embedding, statistics, ConversionOptions())
        wished = self._window_inputs(*windows, embedding, statistics, options)
        return changes.decoded_filter(self._engine, as_is, wished, len(features.mel), self._bundle.audio)

    def _render(
        self,
        features: Features,
        change: Change,
        samples: int,
        embedding: Float[np.ndarray, " C"],
        match_db: Float[np.ndarray, " F"] | None = None,
    ) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, "T F"]]:
        """Sound at the source's own level, and its mel."""
        config = self._bundle.audio
        sound = render(features, change, samples, config)
        if not np.array_equal(embedding, features.embedding):
            if match_db is None:
                known = self._bundle.known_voice(embedding)
                match_db = timbre.matching_filter_db(sound, features.embedding, embedding, config, known)
            sound = timbre.filtered(sound, match_db, config)
        mel = features.mel if sound is features.audio else np.clip(log_mel(sound, config), 0, 1)
        return sound / np.float32(features.level_gain), mel


def _is_emotional(options: ConversionOptions) -> bool:
    return options.emotion is not None and options.strength > 0
