"""Recording and options in, recording out: another emotion, another voice, any length.

By the decoder: features -> controls of rate and melody -> F0 normalized over the recording -> windows of 192 frames ->
SpeechSplit codes -> CodeGAN on some of them -> SpeechSplit decoder with a speaker embedding -> cross-faded mel ->
vocoder. From the source: see `source`.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.audio import pauses
from evc_jax.audio.chunking import join_windows, split_windows
from evc_jax.audio.decoding import naming_errors
from evc_jax.audio.io import AudioReader
from evc_jax.audio.mel import frame_count
from evc_jax.audio.samples import samples_of
from evc_jax.conversion import controls
from evc_jax.conversion.aspects import TransferAspects
from evc_jax.conversion.emotion_reference import estimate_emotion
from evc_jax.conversion.engine import ConversionEngine
from evc_jax.conversion.options import ConversionOptions, options_from
from evc_jax.conversion.result import Conversion, Transfer
from evc_jax.conversion.settings import metadata_text, settings_of
from evc_jax.conversion.source import Request, SourceRenderer, WholeRecording
from evc_jax.conversion.transfer import check_durations, transfer_mel
from evc_jax.conversion.voices import Voices
from evc_jax.conversion.windows import window_inputs
from evc_jax.errors import AudioWarning
from evc_jax.features import extract as extraction
from evc_jax.features import time_warp
from evc_jax.features.extract import Features
from evc_jax.pretrained.bundle import EMBEDDED, Bundle, embedded_path, load_bundle
from evc_jax.vocoders import Vocoder, make_vocoder


class Converter:
    """Converts recordings with one bundle; make it once and use it often, the first call compiles.

    ```python
    converter = Converter.load()
    result = converter.convert(samples, 44100, emotion="sad", strength=0.7, voice="sampled:female")
    ```
    """

    def __init__(self, bundle: Bundle, engine: ConversionEngine | None = None, voices: Voices | None = None):
        """`engine` runs the networks and `voices` finds speaker embeddings, where not as usual (the server)."""
        self.bundle = bundle
        self.voices = voices or Voices(bundle)
        self.engine = engine or ConversionEngine(bundle)
        self.source = SourceRenderer(bundle, self.engine)

    @classmethod
    def load(cls, bundle: str | os.PathLike | Bundle | None = None) -> Converter:
        """Opens a bundle directory; None is the one shipped with the package.

        Raises:
          BundleError: see `bundle.load_bundle`.
        """
        return cls(bundle if isinstance(bundle, Bundle) else load_bundle(bundle))

    def __repr__(self) -> str:
        return (
            f"Converter(bundle={self._bundle_name!r}, emotions={self.emotions}, sample_rate_hz={self.sample_rate_hz})"
        )

    @property
    def _bundle_name(self) -> str:
        return EMBEDDED if self.bundle.path == embedded_path() else str(self.bundle.path)

    @property
    def emotions(self) -> tuple[str, ...]:
        """The names that `emotion` takes."""
        return self.bundle.emotions if self.bundle.has("codegan") or self.bundle.has("prosody") else ()

    @property
    def sample_rate_hz(self) -> int:
        """The rate of every output."""
        return self.bundle.audio.sample_rate_hz

    def convert(self, audio: np.ndarray, rate_hz: int, **options: Any) -> Conversion:
        """Converts one recording.

        Args:
          audio: [S] or [S, channels], float or integer samples.
          rate_hz: their rate; the output has the bundle's.
          **options: the fields of `ConversionOptions`, such as emotion, strength, voice, pitch_shift, rate.

        Raises:
          EvcError: the recording, an option or the bundle does not allow it; the message says what to do.
        """
        from evc_jax.conversion.long_recordings import convert_recording  # which needs this module

        reader = AudioReader(samples_of(audio), rate_hz)
        requested = self._requested(options)
        return replace(convert_recording(self, reader, requested), settings=self._settings(requested))

    def convert_file(
        self,
        source: str | os.PathLike,
        output: str | os.PathLike,
        *,
        output_rate_hz: int | None = None,
        progress: bool = False,
        **options: Any,
    ) -> Path:
        """Converts a recording of any format and length into the file that `evc convert` writes, byte for byte.

        Args:
          source, output: files; the output's suffix names one of `audio.formats.OUTPUT_FORMATS`.
          output_rate_hz: sample rate of the output; None is the bundle's.
          progress: whether to draw a progress bar for a long recording.
          **options: see `convert`.

        Returns:
          the output's path.

        Raises:
          EvcError: see `convert`, or the output cannot be written.
        """
        from evc_jax.conversion import long_recordings  # which needs this module

        requested = self._requested(options)
        comment = metadata_text(self._settings(requested))
        long_recordings.convert_file(self, source, output, requested, progress, comment, output_rate_hz)
        return Path(output)

    def _requested(self, options: dict[str, Any]) -> ConversionOptions:
        requested = options_from(options)
        requested.check(self.bundle)
        return self.resolve(requested)

    def _settings(self, options: ConversionOptions, **more: str) -> dict[str, Any]:
        return settings_of(options, None if self._bundle_name == EMBEDDED else self._bundle_name, **more)

    def extract(self, audio: np.ndarray, rate_hz: int) -> Features:
        """The features that every conversion of this recording shares."""
        return extraction.extract(audio, rate_hz, self.bundle.audio)

    def whole_recording(self, excerpt: Features, options: ConversionOptions, duration_s: float) -> WholeRecording:
        """What the segments of a long recording share in a conversion, from a part that stands for the recording."""
        whole = WholeRecording(excerpt, self.bundle.audio)
        embedding = self.requested_voice(excerpt.embedding, options)
        weights = self.emotion_weights(options, np.linspace(0, duration_s, len(excerpt.mel)))
        if weights is not None:  # the excerpt has no place in time
            weights = np.repeat(weights.mean(axis=0, keepdims=True), len(excerpt.mel), axis=0)
        return self.source.shared(Request(excerpt, options, embedding, whole, weights))

    def convert_features(
        self,
        features: Features,
        options: ConversionOptions,
        whole: WholeRecording | None = None,
        start_s: float = 0.0,
    ) -> Conversion:
        """Converts a recording whose features are known; saves time when it is converted more than once.

        Args:
          features: of the recording, or of a segment of it.
          options: what to change.
          whole: what is known of the whole recording; None where the features are of it.
          start_s: where in the whole recording the features begin.

        Raises:
          ConfigError: an emotion track goes on after the recording.
        """
        options.check(self.bundle)
        if whole is None:
            options = options.within(len(features.audio) / self.sample_rate_hz)
            whole = WholeRecording(features, self.bundle.audio)
        options = self.resolve(options)
        embedding = self.requested_voice(features.embedding, options)
        config = self.bundle.audio
        times_s = start_s + np.arange(len(features.mel)) * config.hop_samples / config.sample_rate_hz
        emotions, weights = self._emotions_of(options), self.emotion_weights(options, times_s)
        if options.rendering_of(self.bundle) == "source":
            sound, mel, positions = self.source.convert(Request(features, options, embedding, whole, weights))
            sound = controls.amplified(sound, options.loudness)
            return Conversion(
                sound, self.sample_rate_hz, mel, embedding, features, config, positions, weights, emotions
            )
        samples = time_warp.samples_at_rate(len(features.audio), options.rate)
        frames = frame_count(samples, self.bundle.audio)
        mel = time_warp.at_rate(features.mel, options.rate, frames)
        f0_hz = time_warp.f0_at_rate(features.f0_hz, options.rate, frames)
        at_rate = None if weights is None else time_warp.at_rate(weights, options.rate, frames)
        windows = split_windows(mel), split_windows(f0_hz)
        inputs = window_inputs(self.engine, config, *windows, embedding, whole.statistics, options, at_rate)
        converted = np.clip(join_windows(self.engine.convert(inputs), frames), 0, 1)
        converted = self._with_effort(converted, features, options, whole)
        sound = self.requested_vocoder(options)(converted, samples, options.seed) / np.float32(features.level_gain)
        sound = pauses.restore_pauses(sound, features.audio, self.bundle.audio, options.rate)
        sound = controls.amplified(sound, options.loudness)
        return Conversion(sound, self.sample_rate_hz, converted, embedding, features, config, None, weights, emotions)

    def transfer(
        self,
        source: np.ndarray,
        source_rate_hz: int,
        target: np.ndarray,
        target_rate_hz: int,
        aspects: str = "RFU",
        **options: Any,
    ) -> Transfer:
        """Moves aspects of one recording to another one of the same sentence.

        Args:
          source, target: [S] or [S, channels], float or integer samples.
          source_rate_hz, target_rate_hz: their rates; the output has the bundle's.
          aspects: what comes from the target: letters of R (rhythm), F (pitch) and U (timbre).
          **options: seed, rendering, vocoder, sigma, denoise; see `ConversionOptions`.

        Raises:
          EvcError: a recording, the aspects, an option or the bundle does not allow it; the message says what to do.
        """
        requested = options_from(options, synthesis_only=True)
        parsed = TransferAspects.parse(aspects)
        self.check_transfer(parsed, requested)
        recordings = self.extract(source, source_rate_hz), self.extract(target, target_rate_hz)
        made = self.transfer_features(*recordings, parsed, requested)
        return replace(made, settings=self._settings(requested, aspects=str(parsed)))

    def check_transfer(self, aspects: TransferAspects, options: ConversionOptions) -> None:
        """Raises BundleError unless the bundle can do it; reads no parameters."""
        options.check(self.bundle)
        if aspects.needs_f0_converter and options.rendering_of(self.bundle) == "decoder":
            self.bundle.require("f0_converter")

    def transfer_features(
        self, source: Features, target: Features, aspects: TransferAspects, options: ConversionOptions
    ) -> Transfer:
        """`transfer` for recordings whose features are at hand; of the options those count that make sound of a mel."""
        self.check_transfer(aspects, options)
        check_durations(source, target, self.bundle.audio)
        if options.rendering_of(self.bundle) == "source":
            sound, mel = self.source.transfer(source, target, aspects)
        else:
            mel = transfer_mel(source, target, aspects, self.engine, self.bundle.audio)
            samples = len((target if aspects.rhythm else source).audio)
            sound = self.requested_vocoder(options)(mel, samples, options.seed) / np.float32(source.level_gain)
        embedding = (target if aspects.timbre else source).embedding
        made = (sound, self.sample_rate_hz, mel, embedding, source, self.bundle.audio)
        return Transfer(*made, target=target, aspects=aspects)

    def requested_voice(self, source: Float[np.ndarray, " C"], options: ConversionOptions) -> Float[np.ndarray, " C"]:
        """The speaker embedding to decode with, given the source's own."""
        voice = self.voices.resolve(options.voice, options.seed)
        return source if voice is None else controls.blend_voices(source, voice, options.timbre)

    def resolve(self, options: ConversionOptions) -> ConversionOptions:
        """The options with the emotion of `emotion_from` found out; these options themselves where there is none."""
        if options.emotion_from is None:
            return options
        reference = options.emotion_from
        with naming_errors(reference):
            estimate = estimate_emotion(self.voices.features_of(reference), self.bundle)
        if not estimate.certain:
            text = "The emotion to take over is uncertain; its mixture is taken, which `evc emotion` shows."
            warnings.warn(AudioWarning(text), stacklevel=2)
        known = self._emotions_of(options)
        weights = {name: share for name, share in estimate.probabilities.items() if name in known}
        return replace(options, emotion_from=None, emotion=weights)

    def emotion_weights(
        self, options: ConversionOptions, times_s: Float[np.ndarray, " T"]
    ) -> Float[np.ndarray, "T K"] | None:
        """`ConversionOptions.emotion_weights` for the network that converts emotions."""
        return options.emotion_weights(times_s, self._emotions_of(options))

    def _emotions_of(self, options: ConversionOptions) -> tuple[str, ...]:
        return self.bundle.emotions_of(options.emotion_network(self.bundle))

    def _with_effort(
        self, mel: Float[np.ndarray, "T2 F"], features: Features, options: ConversionOptions, whole: WholeRecording
    ) -> Float[np.ndarray, "T2 F"]:
        """A decoded mel with the requested effort, at the level that it has."""
        if not options.effort:
            return mel
        config = self.bundle.audio
        filter_db = controls.effort_filter_db(options.effort, controls.speech_power(whole.features.mel, config), config)
        positions = np.arange(len(mel)) * float(options.rate)
        change_db = controls.effort_change_db(features, whole.prosody, filter_db, positions, config)
        return np.clip(mel + change_db / config.range_db, 0, 1)

    def requested_vocoder(self, options: ConversionOptions) -> Vocoder:
        """The requested vocoder, or the bundle's default."""
        name = options.vocoder or self.bundle.default_vocoder
        return make_vocoder(name, self.bundle, options.sigma, options.denoise)
