"""What the server does for a request, apart from HTTP: bytes and options in, bytes out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.audio.chunking import split_windows
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions, TransferAspects
from evc_jax.conversion.voices import EMBEDDING_SIZE, mean_voice
from evc_jax.errors import AudioError
from evc_jax.features.extract import Features
from evc_jax.features.f0_codes import log_f0_statistics
from evc_jax.pretrained.bundle import Bundle
from evc_jax.serving import deadline
from evc_jax.serving.admission import Admission, Cores, Ticket
from evc_jax.serving.batching import BatchingRecoder
from evc_jax.serving.metrics import Metrics
from evc_jax.serving.recordings import TooLongError, decode, encode
from evc_jax.serving.settings import ServerSettings
from evc_jax.serving.voices import RequestVoices


class Service:
    """One bundle at work for many requests."""

    def __init__(self, bundle: Bundle, settings: ServerSettings):
        self.bundle = bundle
        self.settings = settings
        self.admission = Admission(settings.queue, settings.timeout_s)
        self._cores = Cores(settings.workers)
        self.metrics = Metrics(lambda: max(0, self.admission.admitted - self._cores.busy), lambda: self._cores.busy)
        self._recoder = BatchingRecoder(
            bundle,
            settings.batch_wait_ms,
            settings.max_batch,
            settings.exact,
            self._cores,
            self.metrics.batch_windows.observe,
        )
        self.converter = Converter(bundle)
        self.converter.engine = self._recoder
        self.converter.voices = RequestVoices(bundle)
        # Threads that wait for a device call hold no core, so there are as many more of them as share a call.
        threads = min(settings.queue, settings.workers + settings.max_batch)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self.ready = True

    def warm_up(self) -> None:
        """Reads every network and compiles what an ordinary request needs.

        Raises:
          EvcError: the bundle is damaged.
        """
        for name in self.bundle.description["networks"]:
            self.bundle.network(name)
        rate_hz = self.converter.sample_rate_hz
        features = self.converter.extract(_buzz(rate_hz), rate_hz)
        for emotion in (None, *self.converter.emotions[:1]):
            options = ConversionOptions(emotion=emotion)
            statistics = log_f0_statistics(features.f0_hz)
            cut = split_windows(features.mel), split_windows(features.f0_hz)
            self._recoder.compile(self.converter.window_inputs(*cut, features.embedding, statistics, options))
        self.converter.synthesize(features.mel, len(features.audio), ConversionOptions())

    async def compute(self, ticket: Ticket, work: Callable[..., bytes], *arguments: Any) -> bytes:
        """Runs one of the methods below in a thread, once a core is free.

        Raises:
          ExpiredError: the ticket's time is over.
        """
        future = self._pool.submit(self._at_work, ticket.deadline, work, arguments)
        ticket.hold_for(future)
        return await asyncio.wrap_future(future)

    def convert(
        self,
        recording: bytes,
        voice_files: Sequence[bytes],
        voice: str,
        wished: Mapping[str, Any],
        container: str,
    ) -> bytes:
        """A recording converted.

        Args:
          recording: an uploaded file.
          voice_files: uploaded recordings of one speaker, whose mean voice replaces `voice`.
          voice: one of `voices.NAMED_VOICES`.
          wished: the other fields of `ConversionOptions`.
          container: one of `recordings.FORMATS`.

        Raises:
          EvcError: an upload, a wish or the bundle does not allow it.
          ExpiredError: the time is over.
        """
        options = ConversionOptions(**wished, voice=np.ones(EMBEDDING_SIZE, np.float32) if voice_files else voice)
        options.check(self.bundle)
        features = self._hear("recording", recording)
        if voice_files:
            options = replace(options, voice=mean_voice([self._hear("voice_file", x).embedding for x in voice_files]))
        deadline.check()
        return self._write(self.converter.convert_features(features, options).audio, container)

    def transfer(self, source: bytes, target: bytes, aspects: str, wished: Mapping[str, Any], container: str) -> bytes:
        """Aspects of one uploaded recording put on another one; see `convert` for arguments and errors."""
        parsed, options = TransferAspects.parse(aspects), ConversionOptions(**wished)
        self.converter.check_transfer(parsed, options)
        heard = self._hear("source", source), self._hear("target", target)
        deadline.check()
        return self._write(self.converter.transfer_features(*heard, parsed, options).audio, container)

    def close(self) -> None:
        """Ends all threads once their work is done."""
        self.ready = False
        self._pool.shutdown(cancel_futures=True)
        self._recoder.close()

    def _at_work(self, end: float, work: Callable[..., bytes], arguments: Sequence[Any]) -> bytes:
        with deadline.until(end), self._cores:
            deadline.check()
            return work(*arguments)

    def _hear(self, field: str, data: bytes) -> Features:
        """The features of an upload; errors name its field."""
        deadline.check()
        rate_hz = self.converter.sample_rate_hz
        try:
            samples = decode(data, rate_hz, self.settings.max_seconds)
            self.metrics.audio_s.labels("in").inc(len(samples) / rate_hz)
            deadline.check()
            return self.converter.extract(samples, rate_hz)
        except AudioError as error:
            kind = TooLongError if isinstance(error, TooLongError) else AudioError
            raise kind(f"{field}: {error}") from error

    def _write(self, audio: Float[np.ndarray, " S"], container: str) -> bytes:
        rate_hz = self.converter.sample_rate_hz
        self.metrics.audio_s.labels("out").inc(len(audio) / rate_hz)
        return encode(audio, rate_hz, container)


def _buzz(rate_hz: int) -> Float[np.ndarray, " S"]:
    """A second of something voiced."""
    phase = np.arange(rate_hz) * 120 / rate_hz
    return (0.2 * (phase % 1 - 0.5) * (1 + np.sin(phase / 20))).astype(np.float32)
