"""Hearing a recording before it is converted: level, F0, pauses and who speaks, in two passes and bounded memory.

What is small for each frame goes to temporary files, a few megabytes an hour; the recording itself is read again by
whoever needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evc_jax.audio import loudness, pauses
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import frame_blocks, frame_count, frame_powers, mel_of_frames
from evc_jax.audio.pauses import Pause
from evc_jax.conversion import blocks
from evc_jax.conversion.blocks import Conditioner, Framer, Spool, marked
from evc_jax.conversion.pitch_stream import F0Track, RegisterMeter
from evc_jax.conversion.sources import Source, mono
from evc_jax.conversion.speaker_stream import PartialEncoder, SpeechTrimmer
from evc_jax.features import speaker
from evc_jax.features.f0_codes import LogF0Statistics

PASSES = 2
OnProgress = Callable[[int], None]


@dataclass(frozen=True, eq=False)
class Survey:
    """What a conversion must know of a whole recording before it begins; `close` it afterwards.

    Attributes:
      samples: length at the config's rate.
      level_gain: see `features.Features`.
      statistics: of the F0.
      embedding: who speaks; None where nobody wanted to know.
    """

    samples: int
    level_gain: float
    statistics: LogF0Statistics
    embedding: Float[np.ndarray, " E"] | None
    config: AudioConfig
    _f0: F0Track
    _silent: Spool

    @property
    def frames(self) -> int:
        """Number of frames of mel and F0."""
        return frame_count(self.samples, self.config)

    def f0_hz(self) -> Iterator[Float[np.ndarray, " t"]]:
        """F0 of all frames in blocks, 0 where unvoiced."""
        return self._f0.read()

    def pauses(self, rate: float | int = 1) -> Iterator[Pause]:
        """Where the recording, spoken `rate` times as fast, is silent."""
        return pauses.find_pauses(self._silent.read(), self.samples, self.config, rate)

    def __enter__(self) -> Survey:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Deletes the temporary files."""
        self._f0.close()
        self._silent.close()


def survey(
    source: Source, config: AudioConfig, *, embed: bool = True, seed: int = 0, on_progress: OnProgress | None = None
) -> Survey:
    """Hears a recording twice; what is found equals `features.extract`'s of the whole recording.

    F0 may differ where WORLD would look further back than `pitch_stream.CONTEXT_S`.

    Args:
      source: the recording.
      config: what the features are.
      embed: whether to compute the speaker embedding.
      seed: of the dither.
      on_progress: called with the number of samples that were just heard, `PASSES` times over for each sample.

    Raises:
      AudioError: the recording is malformed, too short or silent.
    """
    overview = _overview(source, config, seed, on_progress)
    conditioner, framer = Conditioner(config, seed), Framer(config.window_samples, config.hop_samples)
    track, silent = F0Track(overview.quartiles_hz, config), Spool(bool)
    voice = _VoiceMeter(config, overview.power, seed) if embed else None
    for block, last in marked(_watched(source, config, on_progress)):
        conditioned = conditioner(block * np.float32(overview.gain), last)
        track.add(conditioned, last)
        silent.append(pauses.silent_frames(framer(conditioned, last)))
        if voice is not None:
            voice.add(block, last)
    embedding = voice.embedding() if voice is not None else None
    if voice is not None and not voice.heard_speech:
        embedding = _embed_all(source, config, overview.power, seed)
    return Survey(overview.samples, overview.gain, track.statistics(), embedding, config, track, silent)


def levelled(source: Source, gain: float, config: AudioConfig, seed: int = 0) -> Iterator[Float[np.ndarray, "t F"]]:
    """`features.Features.mel` in blocks, of a recording that is multiplied with `gain`."""
    conditioner, framer = Conditioner(config, seed), Framer(config.window_samples, config.hop_samples)
    for block, last in marked(mono(source, config.sample_rate_hz)):
        frames = framer(conditioner(block * np.float32(gain), last), last)
        for part in frame_blocks(frames):
            yield np.clip(mel_of_frames(part, config), 0, 1)


@dataclass(frozen=True)
class _Overview:
    """What the first pass finds: `power` is the mean square of the conditioned recording."""

    samples: int
    gain: float
    quartiles_hz: tuple[float, float]
    power: float


def _overview(source: Source, config: AudioConfig, seed: int, on_progress: OnProgress | None) -> _Overview:
    conditioner, framer = Conditioner(config, seed), Framer(config.window_samples, config.hop_samples)
    register, powers = RegisterMeter(config), Spool(np.float64)
    samples, squares = 0, 0.0
    for block, last in marked(_watched(source, config, on_progress)):
        samples += len(block)
        filtered = conditioner.highpass(block, last)
        found = frame_powers(framer(filtered, last)) / config.window_samples
        powers.append(found)
        conditioned = conditioner.finish(filtered)
        squares += float(np.square(conditioned).sum())
        register.add(conditioned, last)
    gain = loudness.gain_to_level(_active_level_dbfs(powers), config)
    return _Overview(samples, gain, register.quartiles_hz(), squares / samples)


def _active_level_dbfs(powers: Spool) -> float:
    mean_powers = np.concatenate(list(powers.read()))
    powers.close()
    return loudness.active_level_of_powers(mean_powers)


def _watched(source: Source, config: AudioConfig, on_progress: OnProgress | None) -> Iterator[Float[np.ndarray, " s"]]:
    for block in mono(source, config.sample_rate_hz):
        yield block
        if on_progress is not None:
            on_progress(len(block))


class _VoiceMeter:
    """The speaker embedding of `features.extract` from blocks of the recording as it came."""

    def __init__(self, config: AudioConfig, power: float, seed: int, trim: bool = True):
        self._conditioner = Conditioner(config, seed)
        self._at_16_khz = blocks.Resampler(config.sample_rate_hz, speaker.SAMPLE_RATE_HZ)
        self._gain = speaker.raising_gain(power)
        self._trimmer = SpeechTrimmer() if trim else None
        self._encoder = PartialEncoder()

    def add(self, block: np.ndarray, last: bool) -> None:
        conditioned = self._conditioner(block, last).astype(np.float32)
        loud = self._at_16_khz(conditioned, last) * self._gain
        self._encoder.add(loud if self._trimmer is None else self._trimmer(loud, last))

    @property
    def heard_speech(self) -> bool:
        return self._encoder.samples > 0

    def embedding(self) -> np.ndarray:
        return self._encoder.embedding()


def _embed_all(source: Source, config: AudioConfig, power: float, seed: int) -> np.ndarray:
    """The embedding of a recording in which the detector hears no speech: of all of it."""
    voice = _VoiceMeter(config, power, seed, trim=False)
    for block, last in marked(mono(source, config.sample_rate_hz)):
        voice.add(block, last)
    return voice.embedding()
