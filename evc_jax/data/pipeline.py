"""grain pipelines, one per system: deterministic, endless, resumable, and the same samples for any number of processes.

Sample number n of a run is the n-th of the shuffled, repeated data with random draws of its own; process p of P
takes the samples p, p + P, ... so that a step of all processes together does not depend on P. Batches carry these
numbers as `index`, for per-sample random keys, and as `record` the number of the record in the source. The position in
the data is one number, how many samples were taken: a training that starts from it goes on exactly where another
stopped, on any number of processes and with any batch size.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

import grain
import numpy as np
from jaxtyping import Float

from evc_jax.audio import spectral_shape
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import from_pcm
from evc_jax.data.dataset import SpeakerTable
from evc_jax.data.requirements import VOICE_SEXES, require_both_sexes
from evc_jax.data.sampling import Order, table_batch
from evc_jax.errors import ConfigError, DataError
from evc_jax.features.f0_codes import LogF0Statistics, normalize_f0
from evc_jax.features.time_warp import at_length

# What `dataset.open_split` needs to decode for each pipeline.
SPEECHSPLIT_FIELDS = ("mel", "f0_hz", "speaker_embedding", "log_f0_mean", "log_f0_std")
WAVEGLOW_FIELDS = ("audio", "mel")

READ_THREADS = 4
PREFETCH_BATCHES = 8
# Validation draws the same crops in every run, whatever the seed of its training.
EVALUATION_SEED = 0

# grain shuffles in blocks of 2^16: fewer records than that would be searched for among as many empty places.
SHUFFLE_BLOCK = 1 << 16

Transform = Callable[[Any, np.random.Generator], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class CropConfig:
    """Crops for SpeechSplit and the F0 converter.

    Attributes:
      frames: length T after zero padding.
      min_frames, max_frames: a crop's length is drawn from here, both included; short utterances give shorter ones.
      max_stretch: a crop is made longer or shorter by a random factor of at most 1 plus this.
      max_gain: a random gain of at most so much is added to the mel, or taken from it; in the mel's unit.
    """

    frames: int = 192
    min_frames: int = 64
    max_frames: int = 128
    max_stretch: float = 0.0
    max_gain: float = 0.0

    def __post_init__(self):
        if not 1 <= self.min_frames <= self.max_frames <= self.frames:
            raise ConfigError(
                f"crop lengths are min_frames {self.min_frames}, max_frames {self.max_frames}, frames {self.frames}; "
                "set 1 <= min_frames <= max_frames <= frames."
            )


@dataclasses.dataclass(frozen=True)
class Crop:
    """Where a crop lies in its utterance: `taken` frames from `start` on, stretched to `length` frames."""

    start: int
    taken: int
    length: int

    def cut(self, track: Float[np.ndarray, "T *C"], interpolated: bool = True) -> Float[np.ndarray, "L *C"]:
        """The crop of a track with one value per frame: interpolated linearly where it is stretched, or the nearest."""
        part = track[self.start : self.start + self.taken]
        if self.length == self.taken:
            return part
        if interpolated:
            return at_length(part, self.length)
        return part[np.round(np.linspace(0, self.taken - 1, self.length)).astype(int)]


@dataclasses.dataclass(frozen=True)
class SegmentConfig:
    """Segments for WaveGlow: `samples` of audio and `samples // hop_samples + 1` mel frames."""

    samples: int = 12000
    hop_samples: int = 256

    def __post_init__(self):
        if self.samples < 1 or self.hop_samples < 1:
            raise ConfigError(
                f"segments have samples {self.samples} and hop_samples {self.hop_samples}; set both to at least 1."
            )

    @property
    def frames(self) -> int:
        return self.samples // self.hop_samples + 1


def build(
    source: Any,
    transform: Transform | None,
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
    train: bool = True,
    read_threads: int = READ_THREADS,
    first_sample: int = 0,
    limit: int = sys.maxsize,
) -> grain.IterDataset:
    """Batches of transformed records.

    Args:
      source: random-access records (`__len__`, `__getitem__`).
      transform: (record, random generator of this sample) -> dict of arrays of equal shapes for all records. None
        leaves the records of a `sampling.Table` as they are, and takes all of a batch at once.
      batch_size: B, samples per batch of this process.
      seed: of shuffling and of the transforms' generators.
      process_index, process_count: which share of the samples is read here.
      train: endless and shuffled anew in each pass; otherwise one pass in order with the same draws in every run, of
        the same samples for any number of processes and any batch size.
      read_threads: threads that prepare batches; has no influence on what they hold.
      first_sample: in training, how many samples all processes together have taken before; nothing of them is read.
      limit: at most so many records are read in one pass.

    Returns:
      Batches of what `transform` returns, stacked, plus `index [B]` int64, the sample's number over all processes, and
      `record [B]` int64, its record's number in the source. Those of one pass have `weight [B]` float32 too: 0 for
      samples that only fill the last batch of each process, 1 for all others.

    Raises:
      DataError: there are no records.
      ConfigError: a batch size or process number that cannot be.
    """
    if batch_size < 1 or not 0 <= process_index < process_count:
        raise ConfigError(
            f"batch_size is {batch_size} and process {process_index} of {process_count}; expected at least one sample "
            "per batch and a process number below their count."
        )
    records = len(source)
    threads = grain.ReadOptions(num_threads=read_threads, prefetch_buffer_size=PREFETCH_BATCHES)
    if not records:
        raise DataError("There are no records; give a dataset, or a split of one, that has some.")
    first_sample = (first_sample if train else 0) + process_index
    once = min(records, limit)
    # Every process gets the same number of batches of the same size, or a collective would wait for ever.
    batches = sys.maxsize if train else -(-once // (batch_size * process_count))

    def weigh(batch: dict[str, Any]) -> dict[str, Any]:
        return batch if train else {**batch, "weight": (batch["index"] < once).astype(np.float32)}

    if transform is None:
        order = Order(records, seed) if train else None
        batch = functools.partial(table_batch, source, order, first=first_sample, step=process_count, size=batch_size)
        return grain.MapDataset.range(batches).map(batch).map(weigh).to_iter_dataset(threads)

    def sample(numbered: tuple[int, Any], generator: np.random.Generator) -> dict[str, Any]:
        number, record = numbered
        return {**transform(record, generator), "record": np.int64(number)}

    dataset = grain.MapDataset.source(source).map_with_index(lambda number, record: (number, record))
    if train:
        dataset = _shuffle_endlessly(dataset, seed)
    dataset = dataset.seed(seed if train else EVALUATION_SEED)
    dataset = dataset.random_map(sample)
    if not train:
        dataset = _padded(dataset, batches * batch_size * process_count)
    dataset = dataset.map_with_index(lambda index, made: {**made, "index": np.int64(index)})
    dataset = dataset[first_sample::process_count].batch(batch_size, drop_remainder=True)
    return dataset.map(weigh).to_iter_dataset(threads)


def crop_utterance(
    record: Mapping[str, Any], generator: np.random.Generator, config: CropConfig
) -> dict[str, np.ndarray]:
    """One random crop of an utterance, for SpeechSplit and the F0 converter.

    Returns:
      `mel [T, F]` and `f0 [T]` (normalized over the speaker, 0 = unvoiced) float32, zero behind `length` int32;
      `speaker_embedding [256]` float32.
    """
    return cut_utterance(record, draw_crop(len(record["mel"]), generator, config), generator, config)


def draw_crop(frames: int, generator: np.random.Generator, config: CropConfig) -> Crop:
    """A random crop of an utterance of so many frames."""
    taken = length = min(int(generator.integers(config.min_frames, config.max_frames + 1)), frames)
    start = int(generator.integers(0, frames - taken + 1))
    if config.max_stretch:
        factor = (1 + config.max_stretch) ** generator.uniform(-1, 1)
        length = min(max(round(taken * factor), 1), config.max_frames)
    return Crop(start, taken, length)


def cut_utterance(
    record: Mapping[str, Any], crop: Crop, generator: np.random.Generator, config: CropConfig
) -> dict[str, np.ndarray]:
    """`crop_utterance` at a known place."""
    statistics = LogF0Statistics(float(record["log_f0_mean"]), float(record["log_f0_std"]))
    mel = crop.cut(record["mel"])
    if config.max_gain:
        mel = mel + np.float32(generator.uniform(-config.max_gain, config.max_gain))
    return {
        "mel": pad(mel, config.frames),
        "f0": pad(normalize_f0(crop.cut(record["f0_hz"], interpolated=False), statistics), config.frames),
        "length": np.int32(crop.length),
        "speaker_embedding": record["speaker_embedding"],
    }


def cut_segment(
    record: Mapping[str, Any], generator: np.random.Generator, config: SegmentConfig
) -> dict[str, np.ndarray]:
    """A random segment for WaveGlow that starts on a frame; utterances shorter than it are padded with silence.

    Returns:
      `audio [S]` float32 within [-1, 1], `mel [S // hop + 1, F]` float32.
    """
    audio, hop = record["audio"], config.hop_samples
    start = int(generator.integers(0, max(0, len(audio) - config.samples) // hop + 1))
    segment = from_pcm(audio[start * hop : start * hop + config.samples])
    return {
        "audio": pad(segment, config.samples),
        "mel": pad(record["mel"][start : start + config.frames], config.frames),
    }


def cut_whitened_segment(
    record: Mapping[str, Any], generator: np.random.Generator, config: SegmentConfig, audio: AudioConfig
) -> dict[str, np.ndarray]:
    """`cut_segment` of the recording without the spectrum that its mel describes.

    Args:
      record, generator, config: as of `cut_segment`, with the same draws.
      audio: settings of the mel.

    Returns:
      `audio [S]` of about unit variance, `mel [S // hop + 1, F]`, and `log_gain`: the mean per sample of the
      logarithms of the gains that were taken out, 0 in the padding. All float32.
    """
    hop, length = config.hop_samples, len(record["audio"])
    start = int(generator.integers(0, max(0, length - config.samples) // hop + 1))
    first, end = max(0, start - spectral_shape.MARGIN_BLOCKS), start + config.frames + spectral_shape.MARGIN_BLOCKS
    mel = record["mel"][first:end]
    sound = pad(from_pcm(record["audio"][first * hop : (first + len(mel)) * hop]), len(mel) * hop)
    gains = spectral_shape.log_gains(mel, audio)
    segment = slice((start - first) * hop, (start - first) * hop + min(config.samples, length - start * hop))
    return {
        "audio": pad(spectral_shape.whiten(sound, gains)[segment], config.samples),
        "mel": pad(record["mel"][start : start + config.frames], config.frames),
        "log_gain": np.asarray(np.repeat(gains.mean(axis=1), hop)[segment].sum() / config.samples, np.float32),
    }


class BalancedVoices:
    """Speakers for VoiceGAN, a `sampling.Table`: `embedding [256]` float32 and `sex` int32 (0 male, 1 female) in turns.

    A speaker counts once, however many utterances there are; the rarer sex repeats. Speakers of unknown sex are
    left out.

    Raises:
      DataError: there is no speaker of one sex.
    """

    def __init__(self, speakers: SpeakerTable):
        sexes, names = np.asarray(speakers.sexes), np.asarray(speakers.names)
        require_both_sexes(speakers.sexes)
        groups = [np.flatnonzero(sexes == name) for name in VOICE_SEXES]
        most = max(map(len, groups))
        # Row 2 n + k is the n-th speaker of the k-th sex, from the first again where there are no more.
        speaker = np.stack([np.resize(group, most) for group in groups], axis=1).reshape(-1)
        self._embeddings, self._names = speakers.embeddings[speaker].astype(np.float32), names[speaker].tolist()

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int | np.ndarray) -> dict[str, np.ndarray]:
        return {"embedding": self._embeddings[index], "sex": np.asarray(index % 2, np.int32)}

    def name(self, index: int) -> str:
        """Whose embedding a record is."""
        return self._names[index]


def pad(array: np.ndarray, length: int) -> np.ndarray:
    """Appends zeros along the first axis up to `length`."""
    padded = np.zeros((length, *array.shape[1:]), array.dtype)  # five times as fast as `np.pad`
    padded[: len(array)] = array
    return padded


def _padded(dataset: grain.MapDataset, length: int) -> grain.MapDataset:
    """The samples of a pass, from the first again where `length` is beyond the last."""
    return grain.MapDataset.range(length).map(lambda index: dataset[index % len(dataset)])


def _shuffle_endlessly(dataset: grain.MapDataset, seed: int) -> grain.MapDataset:
    """Every pass sees every record, in another order."""
    if len(dataset) >= SHUFFLE_BLOCK:
        return dataset.seed(seed).shuffle().repeat(None)
    order = Order(len(dataset), seed)
    return grain.MapDataset.range(sys.maxsize).map(lambda index: dataset[order(index)])
