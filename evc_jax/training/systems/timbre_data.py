"""What the timbre converter trains on: excerpts of utterances, rendered at several registers by WORLD.

The renderings are computed once per work directory, then read from disk: the critic is to receive the excitation that a
conversion gives it, at the F0 of the target.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np
from etils import epath
from jaxtyping import Float, Int
from tqdm import tqdm

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import from_pcm
from evc_jax.audio.mel import mel_filters
from evc_jax.data.pipeline import pad
from evc_jax.data.prepare.local_runner import worker_pool
from evc_jax.data.requirements import require_two_speakers, timbre_window_frames
from evc_jax.data.sampling import spread_evenly
from evc_jax.errors import DataError
from evc_jax.features import speaker
from evc_jax.features.f0_codes import SEMITONES_PER_NEPER
from evc_jax.features.timbre_critic import MIN_POWER, encoder_frames, log_power
from evc_jax.training.storage import read_cache, replaced_file

FIELDS = ("audio", "mel", "f0_hz", "utterance_embedding", "speaker", "log_f0_mean")
MIN_VOICED_FRAMES = 20
# A process takes as long to start as some utterances to render; so many at once are sent to each.
_UTTERANCES_PER_PROCESS = 32
_FFT_SAMPLES = 1024


@dataclasses.dataclass(frozen=True)
class Excerpts:
    """N excerpts of utterances; T mel frames, P frames of the voice encoder, R registers.

    Attributes:
      mel: log-mel spectrograms, float16.
      log_power: decimal logarithm of the encoder's power mel-spectrogram of each rendering, float16.
      frames: mel frames that exist; what lies behind them is padding.
      voiced: whether a frame is voiced.
      spectrum_db: mean envelope of the voiced frames.
      embedding: of the utterance.
      log_f0: mean of the excerpt.
      speaker_log_f0: mean of the speaker.
      speaker: whose excerpt it is, from 0 on.
      record: number of the utterance in its split.
    """

    mel: Float[np.ndarray, "N T F"]
    log_power: Float[np.ndarray, "N R P B"]
    frames: Int[np.ndarray, " N"]
    voiced: Float[np.ndarray, "N T"]
    spectrum_db: Float[np.ndarray, "N F"]
    embedding: Float[np.ndarray, "N E"]
    log_f0: Float[np.ndarray, " N"]
    speaker_log_f0: Float[np.ndarray, " N"]
    speaker: Int[np.ndarray, " N"]
    record: Int[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.mel)

    def __getitem__(self, number: int) -> int:
        """The number itself: `draw_sample` reads of a record only what it needs."""
        return number


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How a training sample is drawn.

    Attributes:
      window_frames: of the voice encoder, whose partial utterances have 160.
      shifts_semitones: registers at which excerpts are rendered, relative to their own.
      register_error_semitones: standard deviation of what is added to the target's register: a conversion knows it no
        better from an embedding.
      mixed_share: share of the targets that are a mixture of two utterances' voices.
    """

    window_frames: int
    shifts_semitones: tuple[float, ...]
    register_error_semitones: float
    mixed_share: float

    def mel_frames(self, config: AudioConfig) -> int:
        """Mel frames that a window of the voice encoder lies in."""
        return timbre_window_frames(config, self.window_frames)


def draw_sample(
    number: int, generator: np.random.Generator, excerpts: Excerpts, sampling: Sampling, config: AudioConfig
) -> dict[str, np.ndarray]:
    """A window of an excerpt, at about the register of another speaker, and that speaker's voice.

    Returns:
      `mel [t, F]`, `voiced [t]`, `log_power [window, B]`, `source [E]`, `target [E]`, `register_shift []` and
      `spectrum_db [F]`, which is the target's mean envelope minus the source's; float32.
    """
    target, log_f0, spectrum_db = _draw_target(number, generator, excerpts, sampling.mixed_share)
    error = generator.normal() * sampling.register_error_semitones
    wanted = (log_f0 - excerpts.log_f0[number]) * SEMITONES_PER_NEPER + error
    register = int(np.argmin(np.abs(np.asarray(sampling.shifts_semitones) - wanted)))
    frames = sampling.mel_frames(config)
    # A start at which both clocks have a frame.
    common = math.lcm(config.hop_samples, speaker.MEL_HOP_SAMPLES)
    step, encoder_step = common // config.hop_samples, common // speaker.MEL_HOP_SAMPLES
    start = int(generator.integers(0, (int(excerpts.frames[number]) - frames) // step + 1))
    window = slice(start * encoder_step, start * encoder_step + sampling.window_frames)
    crop = slice(start * step, start * step + frames)
    sample = {
        "mel": excerpts.mel[number, crop],
        "voiced": excerpts.voiced[number, crop],
        "log_power": excerpts.log_power[number, register, window],
        "source": excerpts.embedding[number],
        "target": target,
        "register_shift": sampling.shifts_semitones[register] / SEMITONES_PER_NEPER,
        "spectrum_db": spectrum_db - excerpts.spectrum_db[number],
    }
    return {name: np.asarray(value, np.float32) for name, value in sample.items()}


def _draw_target(
    number: int, generator: np.random.Generator, excerpts: Excerpts, mixed_share: float
) -> tuple[np.ndarray, float, np.ndarray]:
    """Embedding, mean log F0 and spectrum of another speaker, every speaker as often, or of a mixture of two."""
    others = np.delete(np.arange(excerpts.speaker.max() + 1), excerpts.speaker[number])
    rows = [generator.choice(np.flatnonzero(excerpts.speaker == generator.choice(others))) for _ in range(2)]
    share = generator.random() if generator.random() < mixed_share else 1.0
    weights = np.array([share, 1 - share])
    embedding, log_f0, spectrum_db = (
        weights @ values[rows] for values in (excerpts.embedding, excerpts.speaker_log_f0, excerpts.spectrum_db)
    )
    return embedding / np.linalg.norm(embedding), float(log_f0), spectrum_db


def load_excerpts(
    source: Sequence[Mapping[str, Any]],
    config: AudioConfig,
    sampling: Sampling,
    frames: int,
    per_speaker: int,
    cache: epath.Path,
    origin: Mapping[str, Any],
) -> Excerpts:
    """Renders the excerpts of one split, or reads them from `cache` where that was done before.

    Args:
      source: the split's utterances, with `FIELDS`.
      config: of their features.
      sampling: names the registers.
      frames: mel frames of an excerpt.
      per_speaker: at most so many utterances of each speaker.
      cache: an `.npz` file to keep the excerpts in.
      origin: what the excerpts depend on; a cache made from something else, or a damaged one, is made anew.

    Raises:
      DataError: the data has another sample rate than the voice encoder, or fewer than two speakers.
    """
    fingerprint = hashlib.sha256(json.dumps(dict(origin), sort_keys=True).encode()).hexdigest()
    stored = read_cache(cache, fingerprint)
    if stored is not None:
        return Excerpts(**stored)
    if config.sample_rate_hz != speaker.SAMPLE_RATE_HZ:
        raise DataError(
            f"The data has {config.sample_rate_hz} Hz; the timbre converter needs {speaker.SAMPLE_RATE_HZ}."
        )
    excerpts = _render_split(source, config, sampling, frames, per_speaker, cache.stem)
    cache.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(cache) as file:
        np.savez(file, fingerprint=fingerprint, **vars(excerpts))
    return excerpts


def _render_split(source, config, sampling, frames, per_speaker, name) -> Excerpts:
    speakers, lengths, by_speaker = [], [], defaultdict(list)
    for number in range(len(source)):
        record = source[number]
        speakers.append(record["speaker"])
        lengths.append(len(record["mel"]))
        by_speaker[record["speaker"]].append(number)
    chosen = [number for numbers in by_speaker.values() for number in spread_evenly(numbers, per_speaker)]
    chosen = [number for number in chosen if lengths[number] >= sampling.mel_frames(config)]
    render = functools.partial(render_excerpt, config=config, shifts_semitones=sampling.shifts_semitones, frames=frames)
    rendered = tqdm(
        _in_processes(render, source, chosen),
        desc=f"rendering {name}",
        total=len(chosen),
        unit="utterance",
        disable=not sys.stderr.isatty(),
    )
    rows = {number: row for number, row in zip(chosen, rendered, strict=True) if row is not None}
    names = sorted({speakers[number] for number in rows})  # not of a speaker whose utterances are all too short
    require_two_speakers(names)
    stacked = {key: np.stack([row[key] for row in rows.values()]) for key in next(iter(rows.values()))}
    numbers = np.array([names.index(speakers[number]) for number in rows], np.int64)
    return Excerpts(**stacked, speaker=numbers, record=np.array(list(rows), np.int64))


def _in_processes(work: Callable[[Any], Any], source: Sequence[Any], numbers: Sequence[int]) -> Iterator[Any]:
    """What `work` makes of each of these records, in order, on all cores where there are enough of them."""
    processes = min(os.cpu_count() or 1, len(numbers) // _UTTERANCES_PER_PROCESS)
    if processes < 2:
        yield from (work(source[number]) for number in numbers)
        return
    with worker_pool(processes) as executor:
        step = processes * _UTTERANCES_PER_PROCESS
        try:
            for first in range(0, len(numbers), step):  # `map` would read all records at once
                yield from executor.map(work, [source[number] for number in numbers[first : first + step]], chunksize=4)
        except BrokenProcessPool as error:
            raise DataError(
                f"One of {processes} processes that render excerpts died, most often as memory ran out; free some and "
                "start the training again."
            ) from error


def render_excerpt(
    record: Mapping[str, Any], config: AudioConfig, shifts_semitones: Sequence[float], frames: int
) -> dict[str, Any] | None:
    """One row of `Excerpts` but for its numbers: an utterance's loudest part; None where little of it is voiced."""
    start = loudest_start(record["mel"], frames)
    mel, f0_hz = (record[name][start : start + frames] for name in ("mel", "f0_hz"))
    hop = config.hop_samples
    samples = from_pcm(record["audio"][start * hop : (start + frames - 1) * hop])
    voiced = f0_hz > 0
    if voiced.sum() < MIN_VOICED_FRAMES:
        return None
    length = encoder_frames(frames, hop)
    envelope, renderings = _render(samples, f0_hz, config, shifts_semitones)
    envelope_db = 10 * np.log10(np.maximum(envelope @ mel_filters(config).T, MIN_POWER))
    powers = (speaker.power_mel(sound.astype(np.float32)) for sound in renderings)
    log_powers = [log_power(pad(power[:length], length)) for power in powers]
    return {
        "mel": pad(mel, frames).astype(np.float16),
        "log_power": np.stack(log_powers).astype(np.float16),
        "frames": np.int64(len(mel)),
        "voiced": pad(voiced.astype(np.float32), frames),
        "spectrum_db": envelope_db[voiced].mean(axis=0).astype(np.float32),
        "embedding": record["utterance_embedding"],
        "log_f0": np.float32(np.log(f0_hz[voiced]).mean()),
        "speaker_log_f0": np.float32(record["log_f0_mean"]),
    }


def loudest_start(mel: Float[np.ndarray, "T F"], frames: int) -> int:
    """Where the stretch of so many frames begins whose levels sum to the most; 0 in a shorter recording."""
    sums = np.cumsum(np.concatenate([[0.0], mel.max(axis=1)]))
    return int(np.argmax(sums[frames:] - sums[:-frames])) if len(mel) > frames else 0


def _render(
    samples: Float[np.ndarray, " S"], f0_hz: Float[np.ndarray, " T"], config: AudioConfig, shifts: Sequence[float]
) -> tuple[Float[np.ndarray, "T bins"], list[np.ndarray]]:
    """WORLD's power envelope, and the recording at each register with its level kept."""
    import pyworld

    rate_hz, period_ms = config.sample_rate_hz, 1000 * config.hop_samples / config.sample_rate_hz
    wave, f0_hz = samples.astype(np.float64), np.ascontiguousarray(f0_hz, np.float64)
    times_s = np.arange(len(f0_hz)) * period_ms / 1000
    envelope = pyworld.cheaptrick(wave, f0_hz, times_s, rate_hz, fft_size=_FFT_SAMPLES)
    aperiodicity = pyworld.d4c(wave, f0_hz, times_s, rate_hz, fft_size=_FFT_SAMPLES)
    renderings = []
    for shift in shifts:
        moved_hz = f0_hz * math.exp(shift / SEMITONES_PER_NEPER)
        sound = pyworld.synthesize(moved_hz, envelope, aperiodicity, rate_hz, period_ms)[: len(wave)]
        renderings.append(sound * np.sqrt(np.mean(wave**2) / max(np.mean(sound**2), MIN_POWER)))
    return envelope, renderings
