"""What the server does for a request, apart from HTTP: bytes and options in, bytes out."""

from __future__ import annotations

import asyncio
import contextvars
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from evc_jax.audio.io import AudioReader
from evc_jax.conversion.aspects import TransferAspects
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.long_recordings import convert_segments
from evc_jax.conversion.options import ConversionOptions, options_from
from evc_jax.conversion.requested_voice import EMBEDDING_VOICE, ORIGINAL_VOICE, SAMPLED_VOICE, SEXES
from evc_jax.conversion.settings import metadata_text, settings_of
from evc_jax.errors import ConfigError
from evc_jax.features.extract import Features
from evc_jax.pretrained.bundle import Bundle
from evc_jax.serving.admission import Admission, Ticket, check_deadline
from evc_jax.serving.batching import BatchingEngine
from evc_jax.serving.logs import CURRENT
from evc_jax.serving.metrics import Metrics
from evc_jax.serving.recordings import Container, decode, encode, naming_field
from evc_jax.serving.settings import ServerSettings
from evc_jax.serving.streams import open_stream
from evc_jax.serving.voices import RequestVoices, read_named_voices
from evc_jax.vocoders import vocoders_of

# Spans cost time that no deadline interrupts.
MAX_SPANS = 5000
# Shortest and longest segment of a streamed answer: the first one is heard before the second one is converted.
STREAMED_S = (4.0, 10.0)

Status = Literal["warming up", "ready", "stopping"]


class Service:
    """One bundle at work for many requests: a pool of threads computes, one more thread runs the networks."""

    def __init__(self, bundle: Bundle, settings: ServerSettings):
        """Raises EvcError where the bundle's description or the folder of voices is damaged."""
        self.bundle = bundle
        self.settings = settings
        sampled = [SAMPLED_VOICE + sex for sex in SEXES] if bundle.has("voicegan") else []
        named = read_named_voices(settings.voices_dir)
        self._named = {name: voice for name, voice in named.items() if name not in bundle.voices}
        self.voices = [ORIGINAL_VOICE, *sampled, *bundle.voices, *self._named]
        self.vocoders = vocoders_of(bundle)
        self.admission = Admission(settings.queue, settings.timeout_s, settings.workers)
        self.metrics = Metrics(self.admission)
        observe = self.metrics.batch_windows.observe
        self.engine = BatchingEngine(bundle, settings.batch_wait_ms, settings.max_batch, observe)
        self.converter = Converter(bundle, self.engine, RequestVoices(bundle))
        self._pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="request")
        self.status: Status = "ready"

    def warm_up(self) -> None:
        """Reads every network and compiles what an ordinary request needs; ends early once the server stops.

        Raises:
          EvcError: the bundle is damaged.
        """
        rate_hz = self.converter.sample_rate_hz
        noise = np.random.default_rng(0).normal(0, 0.1, rate_hz).astype(np.float32)
        ordinary: list[dict[str, str]] = [{}]
        if self.converter.emotions:
            ordinary.append({"emotion": self.converter.emotions[-1]})
        steps: list[Callable[[], object]] = [
            *(partial(self.bundle.network, name) for name in self.bundle.description["networks"]),
            *self.engine.compilations(),
            *(partial(self.converter.convert, noise, rate_hz, **options) for options in ordinary),
        ]
        for step in steps:
            if self.status == "stopping":
                return
            step()

    async def compute(self, ticket: Ticket, work: Callable[..., Any], *arguments: Any) -> Any:
        """Runs `work` in a thread of the pool once one is free; raises ExpiredError if the ticket's time is over."""

        def run() -> Any:
            with ticket.working():
                return work(*arguments)

        future = self._pool.submit(contextvars.copy_context().run, run)
        ticket.hold_for(future)
        return await asyncio.wrap_future(future)

    def convert(self, given: dict[str, Any], container: Container) -> bytes:
        """A recording converted; `given` has the values of `fields.CONVERT` without the format and `stream`.

        Raises:
          EvcError: an upload, an option or the bundle does not allow it.
          ExpiredError: the time is over, or the client gone.
        """
        options, segments = self._converted(given)
        audio = np.concatenate(list(segments))
        return encode(audio, self.converter.sample_rate_hz, container, metadata_text(settings_of(options)))

    def convert_stream(self, given: dict[str, Any], container: Container, send: Callable[[bytes], object]) -> None:
        """`convert` that calls `send` with parts of the answer as soon as they are ready; `container` is streamed."""
        options, segments = self._converted(given, STREAMED_S)
        stream = open_stream(self.converter.sample_rate_hz, container, metadata_text(settings_of(options)))
        for audio in segments:
            if part := stream.add(audio):
                send(part)
        send(stream.end())

    def transfer(self, given: dict[str, Any], container: Container) -> bytes:
        """Aspects of one uploaded recording put on another one; see `convert`, here for `fields.TRANSFER`."""
        given = dict(given)
        source, target = given.pop("source"), given.pop("target")
        parsed = TransferAspects.parse(given.pop("aspects", "RFU"))
        options = options_from(given, synthesis_only=True)
        self.converter.check_transfer(parsed, options)
        features = self._extract("source", source), self._extract("target", target)
        made = self.converter.transfer_features(*features, parsed, options)
        self._note_audio("out", made.audio)
        comment = metadata_text(settings_of(options, aspects=str(parsed)))
        return encode(made.audio, self.converter.sample_rate_hz, container, comment)

    def close(self) -> None:
        """Ends all threads once their work is done."""
        self.status = "stopping"
        self._pool.shutdown(cancel_futures=True)
        self.engine.close()

    def _converted(
        self, given: dict[str, Any], segment_s: tuple[float, float] | None = None
    ) -> tuple[ConversionOptions, Iterator[Float[np.ndarray, " s"]]]:
        """The options, and the sound segment by segment; both raise as `convert` does."""
        given = dict(given)
        recording = given.pop("recording")
        options = self._resolved(given)
        reader = AudioReader(self._decode("recording", recording), self.converter.sample_rate_hz)

        def segments() -> Iterator[Float[np.ndarray, " s"]]:
            with naming_field("recording"):
                for conversion in convert_segments(self.converter, reader, options, segment_s=segment_s):
                    self._note_audio("out", conversion.audio)
                    yield conversion.audio
                    check_deadline()

        return options, segments()

    def _resolved(self, given: dict[str, Any]) -> ConversionOptions:
        """The options; uploaded voices and the emotion of a reference are computed once, not for each segment."""
        if "voice" in given:
            given["voice"] = [self._known_voice(voice) for voice in given["voice"]]
        files = given.pop("voice_file", None)
        if files:
            if "voice" in given:
                raise ConfigError("Both voice and voice_file are given; give one of them.")
            given["voice"] = [self._decode("voice_file", data) for data in files]
        if "emotion_from" in given:
            given["emotion_from"] = self._decode("emotion_from", given["emotion_from"])
        options = options_from(given)
        if options.emotion_track and len(options.emotion_track.spans) > MAX_SPANS:
            spans = len(options.emotion_track.spans)
            raise ConfigError(f"The emotion track has {spans} spans; give up to {MAX_SPANS}.")
        options.check(self.bundle)
        with naming_field("emotion_from"):
            options = self.converter.resolve(options)
        check_deadline()
        if files and (embedding := self.converter.voices.resolve(options.voice)) is not None:
            options = replace(options, voice=embedding)
        return options

    def _known_voice(self, voice: str) -> str | Float[np.ndarray, " C"]:
        """A voice that a request names; those of the operator's folder are in memory, by name."""
        name = unicodedata.normalize("NFC", voice)
        if name in self._named:
            return self._named[name]
        if voice not in self.voices and not voice.startswith(EMBEDDING_VOICE):
            raise ConfigError(f"There is no voice {voice[:40]!r}; choose one of {', '.join(self.voices)}.")
        return voice

    def _decode(self, field: str, data: bytes) -> Float[np.ndarray, " S"]:
        rate_hz = self.converter.sample_rate_hz
        with naming_field(field):
            samples = decode(data, rate_hz, self.settings.max_seconds)
        self._note_audio("in", samples)
        return samples

    def _extract(self, field: str, data: bytes) -> Features:
        samples = self._decode(field, data)
        check_deadline()
        with naming_field(field):
            features = self.converter.extract(samples, self.converter.sample_rate_hz)
        check_deadline()
        return features

    def _note_audio(self, direction: Literal["in", "out"], audio: Float[np.ndarray, " s"]) -> None:
        """Adds to the counters, and to the request's line in the log."""
        seconds = len(audio) / self.converter.sample_rate_hz
        self.metrics.audio_s.labels(direction).inc(seconds)
        record = CURRENT.get()
        if record is not None and direction == "in":
            record.audio_in_s += seconds
        elif record is not None:
            record.audio_out_s += seconds
