"""Conversions that are rendered from the source: what the options ask for becomes a change of the recording.

An emotion changes prosody (`emotion`), or the spectrum where the bundle has CodeGAN only. Another voice changes the
register, and the spectrum as the timbre converter proposes, or by what two decoded mels differ by; then the sound
is filtered to match the wished voice (`timbre`). Controls of pitch and rate need no network (`changes`).

NOTE: an emotion's F0 moves the voice encoder's embedding away from the speaker's, and the same filter would bring it
back: cosine 0.72 to 0.78 on 36 conversions of validation speakers. By a verifier that it was not chosen by it is the
opposite (0.71 to 0.67), and the emotion is recognised less often (0.64 to 0.56). So it is for other voices only.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from evc_jax.audio.chunking import split_windows
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import log_mel
from evc_jax.conversion import changes, controls, emotion, timbre
from evc_jax.conversion.aspects import TransferAspects
from evc_jax.conversion.engine import ConversionEngine
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.rendering import Change, render
from evc_jax.conversion.windows import window_inputs
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
      effort_db: the filter of the wished effort; None is made anew as well.
      voice_gain: what keeps the level in the wished voice; None is made anew as well.
    """

    features: Features
    config: AudioConfig
    match_db: Float[np.ndarray, " F"] | None = None
    effort_db: Float[np.ndarray, " F"] | None = None
    voice_gain: float | None = None

    @functools.cached_property
    def statistics(self) -> LogF0Statistics:
        """Of its F0."""
        return log_f0_statistics(self.features.f0_hz)

    @functools.cached_property
    def prosody(self) -> ProsodyReference:
        """What that of a segment is relative to."""
        return emotion.reference_of(self.features, self.config)


@dataclass(frozen=True, eq=False)
class Request:
    """What to do with a recording, or with a segment of it.

    Attributes:
      features: of it.
      options: what to change; the emotion is in `weights`.
      embedding: the wished voice.
      whole: what is known of the whole recording.
      weights: of the emotions at each frame; None is no emotion.
    """

    features: Features
    options: ConversionOptions
    embedding: Float[np.ndarray, " C"]
    whole: WholeRecording
    weights: Float[np.ndarray, "T K"] | None = None

    @property
    def is_other_voice(self) -> bool:
        """Whether the wished voice is not the source's own."""
        return not np.array_equal(self.embedding, self.features.embedding)


class SourceRenderer:
    """Conversions with one bundle, see `converter.Converter`."""

    def __init__(self, bundle: Bundle, engine: ConversionEngine):
        self._bundle, self._engine = bundle, engine

    def convert(
        self, request: Request
    ) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, "T F"], Float[np.ndarray, " T"] | None]:
        """Sound at the source's own level, its mel, and `Conversion.positions`."""
        change, samples = self.requested_change(request)
        match_db = request.whole.match_db
        if match_db is None and controls.any_set(request.options):
            match_db = self.matching_filter_db(request)
        sound, _ = self._render(
            request.features, change, samples, request.embedding, match_db, request.whole.voice_gain
        )
        return *self._finished(sound, request.features), None if change.keeps_rate else change.positions

    def shared(self, request: Request) -> WholeRecording:
        """What all segments take over, of a request for a part of a recording that stands for the whole."""
        whole, options = request.whole, request.options
        if options.rendering_of(self._bundle) == "decoder":
            return whole
        if request.is_other_voice:
            whole = replace(whole, match_db=self.matching_filter_db(request))
        if options.effort:
            without, _ = self.requested_change(replace(request, options=replace(options, effort=0)))
            whole = replace(whole, effort_db=self._effort_filter_db(request, without))
        if request.is_other_voice:
            change, samples = self.requested_change(replace(request, whole=whole))
            _, gain = self._render(request.features, change, samples, request.embedding, whole.match_db)
            whole = replace(whole, voice_gain=gain)
        return whole

    def transfer(
        self, source: Features, target: Features, aspects: TransferAspects
    ) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, "T F"]]:
        """The source with aspects of another recording of the same sentence; sound and mel."""
        filter_db = np.zeros_like(source.mel)
        if aspects.timbre:
            ours, theirs = (log_f0_statistics(each.f0_hz) for each in (source, target))
            shift = theirs.mean - ours.mean
            filter_db = self._voice_filter(source, target.embedding, ours, shift, None)
        change = changes.transferred(source, target, aspects, filter_db)
        samples = len((target if aspects.rhythm else source).audio)
        embedding = target.embedding if aspects.timbre else source.embedding
        return self._finished(self._render(source, change, samples, embedding)[0], source)

    def matching_filter_db(self, request: Request) -> Float[np.ndarray, " F"] | None:
        """The filter that matches the wished voice; None where that is the source's own.

        The controls count as neutral: what they change is wished, and is no distance to the voice.
        """
        if not request.is_other_voice:
            return None
        change, samples = self.requested_change(replace(request, options=controls.without(request.options)))
        sound = render(request.features, change, samples, self._bundle.audio)
        return self._matching_filter_db(sound, request.features, change, request.embedding)

    def _matching_filter_db(
        self, sound: Float[np.ndarray, " S"], features: Features, change: Change, embedding: Float[np.ndarray, " C"]
    ) -> Float[np.ndarray, " F"]:
        """The filter that matches a rendered sound to the wished voice."""
        if change.voice_db is not None:
            sound, _ = timbre.with_voice(sound, change.voice_db, self._bundle.audio)
        known = self._bundle.known_voice(embedding)
        return timbre.matching_filter_db(sound, features.embedding, embedding, self._bundle.audio, known)

    def requested_change(self, request: Request) -> tuple[Change, int]:
        """What the options change in a recording, and how many samples it then has.

        Networks are read and called for an emotion or another voice only.
        """
        features, options, whole, weights = request.features, request.options, request.whole, request.weights
        config, prosody = self._bundle.audio, None
        if weights is not None and self._bundle.has("prosody"):
            known = features, whole.prosody, weights, 1 - options.keep_timing, config
            prosody = emotion.prosody_change(self._engine, *known)
        log_duration = None if prosody is None else prosody.log_duration
        change, samples = changes.clock(len(features.audio), options.rate, log_duration, config)
        register = self._bundle.register if request.is_other_voice else None
        voices = features.embedding, request.embedding
        voice = changes.register_change(register, *voices, whole.statistics, options.timbre)
        if prosody is not None:
            change = changes.with_prosody(change, prosody)
        change = changes.melody(features, change, whole.statistics, options, voice)
        by_codes = None if prosody is not None else weights
        if request.is_other_voice or by_codes is not None:
            filter_db = self._voice_filter(features, request.embedding, whole.statistics, voice.mean, by_codes)
            filter_db = time_warp.warp(filter_db, change.positions)
            # What CodeGAN changes for an emotion is not separate from the voice, and may be a change of the level.
            change = replace(change, voice_db=filter_db) if by_codes is None else change.with_filter(filter_db)
        if options.effort:
            effort_db = self._effort_filter_db(request, change) if whole.effort_db is None else whole.effort_db
            effort = features, whole.prosody, effort_db, change.positions, config
            change = change.with_filter(controls.effort_change_db(*effort))
        return change, samples

    def _effort_filter_db(self, request: Request, change: Change) -> Float[np.ndarray, " F"]:
        power = changes.changed_power(request.features, change, self._bundle.audio)
        return controls.effort_filter_db(request.options.effort, power, self._bundle.audio)

    def _voice_filter(
        self,
        features: Features,
        embedding: Float[np.ndarray, " C"],
        statistics: LogF0Statistics,
        register_shift: float,
        weights: Float[np.ndarray, "T K"] | None,
    ) -> Float[np.ndarray, "T F"]:
        """What another voice and CodeGAN's emotion change in the spectrum, at the recording's own rate and melody."""
        if self._bundle.has("timbre_converter") and weights is None:
            converter = self._bundle.network("timbre_converter")
            return timbre.proposed_change_db(features, embedding, register_shift, converter)
        windows = split_windows(features.mel), split_windows(features.f0_hz)
        as_is = window_inputs(
            self._engine, self._bundle.audio, *windows, features.embedding, statistics, ConversionOptions()
        )
        wished = window_inputs(
            self._engine, self._bundle.audio, *windows, embedding, statistics, ConversionOptions(), weights
        )
        return changes.decoded_filter(self._engine, as_is, wished, len(features.mel), self._bundle.audio)

    def _render(
        self,
        features: Features,
        change: Change,
        samples: int,
        embedding: Float[np.ndarray, " C"],
        match_db: Float[np.ndarray, " F"] | None = None,
        voice_gain: float | None = None,
    ) -> tuple[Float[np.ndarray, " S"], float | None]:
        """Sound at the features' level, and the gain that keeps it in the wished voice, if there is one."""
        config = self._bundle.audio
        sound = render(features, change, samples, config)
        if np.array_equal(embedding, features.embedding):
            return sound, None
        if match_db is None:
            match_db = self._matching_filter_db(sound, features, change, embedding)
        voice_db = match_db + (np.zeros_like(change.filter_db) if change.voice_db is None else change.voice_db)
        return timbre.with_voice(sound, voice_db, config, voice_gain)

    def _finished(
        self, sound: Float[np.ndarray, " S"], features: Features
    ) -> tuple[Float[np.ndarray, " S"], Float[np.ndarray, "T F"]]:
        """Sound at the source's own level, and its mel."""
        mel = features.mel if sound is features.audio else np.clip(log_mel(sound, self._bundle.audio), 0, 1)
        return sound / np.float32(features.level_gain), mel
