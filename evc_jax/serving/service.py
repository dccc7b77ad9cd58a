"""What the server does for a request, apart from HTTP: bytes and options in, bytes out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.audio.io import AudioReader
from evc_jax.conversion.aspects import TransferAspects
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.long_recordings import convert_segments
from evc_jax.conversion.options import ConversionOptions, options_from
from evc_jax.conversion.requested_voice import EMBEDDING_VOICE, ORIGINAL_VOICE, SAMPLED_VOICE, SEXES, Voice
from evc_jax.conversion.settings import metadata_text, settings_of
from evc_jax.conversion.voices import Voices
from evc_jax.errors import AudioError, ConfigError
from evc_jax.features.extract import Features
from evc_jax.pretrained.bundle import Bundle
from evc_jax.serving.admission import Admission, Ticket, check_deadline
from evc_jax.serving.batching import BatchingEngine
from evc_jax.serving.metrics import Metrics
from evc_jax.serving.recordings import Container, decode, encode
from evc_jax.serving.settings import ServerSettings

# Spans cost time that no deadline interrupts.
MAX_SPANS = 5000


class RequestVoices(Voices):
    """`Voices` of uploads, of the bundle and sampled ones: no file is read and nothing is kept."""

    def _one(self, voice: Voice, seed: int) -> Float[np.ndarray, " C"]:
        check_deadline()
        if isinstance(voice, np.ndarray):
            with _named("voice_file"):
                return super()._one(voice, seed)
        known = self._bundle.voices.get(str(voice))
        return known.embedding if known else self.sample(1, str(voice).removeprefix(SAMPLED_VOICE), seed)[0]


class Service:
    """One bundle at work for many requests: a pool of threads computes, one more thread runs the networks."""

    def __init__(self, bundle: Bundle, settings: ServerSettings):
        self.bundle = bundle
        self.settings = settings
        sampled = [SAMPLED_VOICE + sex for sex in SEXES] if bundle.has("voicegan") else []
        self.voices = [ORIGINAL_VOICE, *sampled, *bundle.voices]
        self.admission = Admission(settings.queue, settings.timeout_s)
        self.metrics = Metrics(self.admission)
        observe = self.metrics.batch_windows.observe
        self.engine = BatchingEngine(bundle, settings.batch_wait_ms, settings.max_batch, observe)
        self.converter = Converter(bundle, self.engine, RequestVoices(bundle))
        self._pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="request")
        self.ready = True

    def warm_up(self) -> None:
        """Reads every network and compiles what an ordinary request needs; raises EvcError for a damaged bundle."""
        for name in self.bundle.description["networks"]:
            self.bundle.network(name)
        self.engine.compile()
        rate_hz = self.converter.sample_rate_hz
        noise = np.random.default_rng(0).normal(0, 0.1, rate_hz).astype(np.float32)
        self.converter.convert(noise, rate_hz)

    async def compute(self, ticket: Ticket, work: Callable[..., bytes], *arguments: Any) -> bytes:
        """Runs `work` in a thread of the pool once one is free; raises ExpiredError if the ticket's time is over."""

        def run() -> bytes:
            with ticket.working():
                return work(*arguments)

        future = self._pool.submit(run)
        ticket.hold_for(future)
        return await asyncio.wrap_future(future)

    def convert(self, given: dict[str, Any], container: Container) -> bytes:
        """A recording converted; `given` has the values of `fields.CONVERT` without the format.

        Raises:
          EvcError: an upload, an option or the bundle does not allow it.
          ExpiredError: the time is over.
        """
        given = dict(given)
        recording = given.pop("recording")
        options = self._resolved(given)
        reader = AudioReader(self._decode("recording", recording), self.converter.sample_rate_hz)
        parts = []
        with _named("recording"):
            for conversion in convert_segments(self.converter, reader, options):
                parts.append(conversion.audio)
                check_deadline()
        return self._encode(np.concatenate(parts), container, settings_of(options))

    def transfer(self, given: dict[str, Any], container: Container) -> bytes:
        """Aspects of one uploaded recording put on another one; see `convert`, here for `fields.TRANSFER`."""
        given = dict(given)
        source, target = given.pop("source"), given.pop("target")
        parsed = TransferAspects.parse(given.pop("aspects", "RFU"))
        options = options_from(given, synthesis_only=True)
        self.converter.check_transfer(parsed, options)
        features = self._extract("source", source), self._extract("target", target)
        made = self.converter.transfer_features(*features, parsed, options)
        return self._encode(made.audio, container, settings_of(options, aspects=str(parsed)))

    def close(self) -> None:
        """Ends all threads once their work is done."""
        self.ready = False
        self._pool.shutdown(cancel_futures=True)
        self.engine.close()

    def _resolved(self, given: dict[str, Any]) -> ConversionOptions:
        """The options; uploaded voices and the emotion of a reference are computed once, not for each segment."""
        for voice in given.get("voice", ()):
            if voice not in self.voices and not voice.startswith(EMBEDDING_VOICE):
                raise ConfigError(f"There is no voice {voice[:40]!r}; choose one of {', '.join(self.voices)}.")
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
        with _named("emotion_from"):
            options = self.converter.resolve(options)
        check_deadline()
        if files and (embedding := self.converter.voices.resolve(options.voice)) is not None:
            options = replace(options, voice=embedding)
        return options

    def _decode(self, field: str, data: bytes) -> Float[np.ndarray, " S"]:
        rate_hz = self.converter.sample_rate_hz
        with _named(field):
            samples = decode(data, rate_hz, self.settings.max_seconds)
        self.metrics.audio_s.labels("in").inc(len(samples) / rate_hz)
        return samples

    def _extract(self, field: str, data: bytes) -> Features:
        samples = self._decode(field, data)
        check_deadline()
        with _named(field):
            features = self.converter.extract(samples, self.converter.sample_rate_hz)
        check_deadline()
        return features

    def _encode(self, audio: Float[np.ndarray, " S"], container: Container, settings: dict[str, Any]) -> bytes:
        rate_hz = self.converter.sample_rate_hz
        self.metrics.audio_s.labels("out").inc(len(audio) / rate_hz)
        return encode(audio, rate_hz, container, metadata_text(settings))


@contextlib.contextmanager
def _named(field: str) -> Iterator[None]:
    """Puts the field's name before the message of an error of its recording."""
    try:
        yield
    except AudioError as error:
        raise type(error)(f"{field}: {error}") from error
