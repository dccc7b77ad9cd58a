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

from evc_jax.data.extraction import PCM_SCALE
from evc_jax.data.source import SpeakerTable
from evc_jax.errors import ConfigError, DataError
from evc_jax.pitch import LogF0Statistics, normalize_f0

# What `source.open_split` needs to decode for each pipeline.
SPEECHSPLIT_FIELDS = ("mel", "f0_hz", "speaker_embedding", "log_f0_mean", "log_f0_std")
WAVEGLOW_FIELDS = ("audio", "mel")
SEX_LABELS = {"male": 0, "female": 1}

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
    """

    frames: int = 192
    min_frames: int = 64
    max_frames: int = 128

    def __post_init__(self):
        if not 1 <= self.min_frames <= self.max_frames <= self.frames:
            raise ConfigError(
                f"crop lengths are min_frames {self.min_frames}, max_frames {self.max_frames}, frames {self.frames}; "
                "set 1 <= min_frames <= max_frames <= frames."
            )


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
    transform: Transform,
    batch_size: int,
    seed: int,
    process_index: int = 0,
    process_count: int = 1,
    train: bool = True,
    read_threads: int = READ_THREADS,
    first_sample: int = 0,
) -> grain.IterDataset:
    """Batches of transformed records.

    Args:
      source: random-access records (`__len__`, `__getitem__`), a list of such sources, or a `grain.MapDataset`.
      transform: (record, random generator of this sample) -> dict of arrays of equal shapes for all records.
      batch_size: B, samples per batch of this process.
      seed: of shuffling and of the transforms' generators.
      process_index, process_count: which share of the samples is read here.
      train: endless and shuffled anew in each pass; otherwise one pass in order with the same draws in every run,
        whose last partial batch is dropped unless it would be the only one.
      read_threads: threads that prepare batches; has no influence on what they hold.
      first_sample: in training, how many samples all processes together have taken before; nothing of them is read.

    Returns:
      Batches of what `transform` returns, stacked, plus `index [B]` int64, the sample's number over all processes, and
      `record [B]` int64, its record's number in the source.

    Raises:
      DataError: there are no records, or for one pass fewer than processes.
      ConfigError: a batch size or process number that cannot be.
    """
    if batch_size < 1 or not 0 <= process_index < process_count:
        raise ConfigError(
            f"batch_size is {batch_size} and process {process_index} of {process_count}; expected at least one sample "
            "per batch and a process number below their count."
        )
    dataset = _as_dataset(source)
    records = len(dataset)
    if records < (1 if train else process_count):
        raise DataError(f"There are {records} records for {process_count} processes; give at least one for each.")
    dataset = dataset.map_with_index(_Numbered)
    if train:
        dataset = _shuffle_endlessly(dataset, seed)
    dataset = dataset.seed(seed if train else EVALUATION_SEED)
    dataset = dataset.random_map(functools.partial(_transform, transform)).map_with_index(_with_index)
    if not train:
        # Every process gets the same number of batches of the same size, or a collective would wait for ever.
        batch_size = min(batch_size, records // process_count)
        step = batch_size * process_count
        dataset = dataset[: records // step * step]
    first_sample = first_sample if train else 0
    dataset = dataset[first_sample + process_index :: process_count].batch(batch_size, drop_remainder=True)
    return dataset.to_iter_dataset(grain.ReadOptions(num_threads=read_threads, prefetch_buffer_size=PREFETCH_BATCHES))


def speechsplit_pipeline(
    source: Any, config: CropConfig, batch_size: int, seed: int, **options: Any
) -> grain.IterDataset:
    """Crops for SpeechSplit and the F0 converter (`options` are those of `build`).

    Returns:
      Batches `mel [B, T, F]` and `f0 [B, T]` (normalised over the speaker, 0 = unvoiced) float32, zero behind
      `length [B]` int32; `speaker_embedding [B, 256]` float32; `index [B]` int64.
    """
    return build(source, functools.partial(crop_utterance, config=config), batch_size, seed, **options)


def crop_utterance(
    record: Mapping[str, Any], generator: np.random.Generator, config: CropConfig
) -> dict[str, np.ndarray]:
    """One random crop of an utterance, zero-padded to `config.frames`."""
    frames = len(record["mel"])
    length = min(int(generator.integers(config.min_frames, config.max_frames + 1)), frames)
    start = int(generator.integers(0, frames - length + 1))
    statistics = LogF0Statistics(float(record["log_f0_mean"]), float(record["log_f0_std"]))
    return {
        "mel": pad(record["mel"][start : start + length], config.frames),
        "f0": pad(normalize_f0(record["f0_hz"][start : start + length], statistics), config.frames),
        "length": np.int32(length),
        "speaker_embedding": record["speaker_embedding"],
    }


def waveglow_pipeline(
    source: Any, config: SegmentConfig, batch_size: int, seed: int, **options: Any
) -> grain.IterDataset:
    """Aligned audio and mel segments for WaveGlow (`options` are those of `build`).

    Returns:
      Batches `audio [B, S]` float32 within [-1, 1], `mel [B, S // hop + 1, F]` float32, `index [B]` int64.
    """
    return build(source, functools.partial(cut_segment, config=config), batch_size, seed, **options)


def cut_segment(
    record: Mapping[str, Any], generator: np.random.Generator, config: SegmentConfig
) -> dict[str, np.ndarray]:
    """A random segment that starts on a frame; utterances shorter than it are padded with silence."""
    audio, hop = record["audio"], config.hop_samples
    start = int(generator.integers(0, max(0, len(audio) - config.samples) // hop + 1))
    segment = audio[start * hop : start * hop + config.samples].astype(np.float32) / np.float32(PCM_SCALE)
    return {
        "audio": pad(segment, config.samples),
        "mel": pad(record["mel"][start : start + config.frames], config.frames),
    }


def voicegan_pipeline(speakers: SpeakerTable, batch_size: int, seed: int, **options: Any) -> grain.IterDataset:
    """Speaker embeddings for VoiceGAN, as many male as female ones (`options` are those of `build`).

    A speaker counts once, however many utterances there are; the rarer sex repeats. Speakers of unknown sex are
    left out.

    Returns:
      Batches `embedding [B, 256]` float32, `sex [B]` int32 (0 male, 1 female), `index [B]` int64.

    Raises:
      DataError: there is no speaker of one sex.
    """
    return build(BalancedVoices(speakers), copy_record, batch_size, seed, **options)


class BalancedVoices:
    """Speakers as a grain source, alternating between the sexes."""

    def __init__(self, speakers: SpeakerTable):
        sexes = np.asarray(speakers.sexes)
        self._groups = [speakers.embeddings[sexes == name].astype(np.float32) for name in SEX_LABELS]
        self._names = [np.asarray(speakers.names)[sexes == name].tolist() for name in SEX_LABELS]
        for name, group in zip(SEX_LABELS, self._groups, strict=True):
            if not len(group):
                raise DataError(f"None of the {len(sexes)} speakers is {name}; add a dataset with both sexes.")

    def __len__(self) -> int:
        return 2 * max(len(group) for group in self._groups)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        group = self._groups[index % 2]
        return {"embedding": group[index // 2 % len(group)], "sex": np.int32(index % 2)}

    def name(self, index: int) -> str:
        """Whose embedding a record is."""
        names = self._names[index % 2]
        return names[index // 2 % len(names)]

    def __repr__(self) -> str:
        return f"BalancedVoices({'+'.join(str(len(group)) for group in self._groups)})"


def pad(array: np.ndarray, length: int) -> np.ndarray:
    """Appends zeros along the first axis up to `length`."""
    return np.pad(array, [(0, length - len(array))] + [(0, 0)] * (array.ndim - 1))


def copy_record(record: Mapping[str, Any], generator: np.random.Generator) -> Mapping[str, Any]:
    del generator
    return dict(record)


def _as_dataset(source: Any) -> grain.MapDataset:
    if isinstance(source, grain.MapDataset):
        return source
    if isinstance(source, list | tuple):
        return grain.MapDataset.concatenate([_as_dataset(part) for part in source])
    return grain.MapDataset.source(source)


def _shuffle_endlessly(dataset: grain.MapDataset, seed: int) -> grain.MapDataset:
    """Every pass sees every record, in another order."""
    if len(dataset) >= SHUFFLE_BLOCK:
        return dataset.seed(seed).shuffle().repeat(None)
    order = _Order(len(dataset), seed)
    return grain.MapDataset.range(sys.maxsize).map(lambda index: dataset[order(index)])


class _Order:
    """Permutations of few records, one per pass."""

    def __init__(self, records: int, seed: int):
        self._records = records
        self._permutation = functools.lru_cache(maxsize=4)(
            lambda epoch: np.random.default_rng((seed, epoch)).permutation(records)
        )

    def __call__(self, index: int) -> int:
        epoch, place = divmod(index, self._records)
        return int(self._permutation(epoch)[place])


@dataclasses.dataclass(frozen=True)
class _Numbered:
    """A record and its number in the source."""

    number: int
    record: Any


def _transform(transform: Transform, numbered: _Numbered, generator: np.random.Generator) -> dict[str, Any]:
    return {**transform(numbered.record, generator), "record": np.int64(numbered.number)}


def _with_index(index: int, sample: Mapping[str, Any]) -> dict[str, Any]:
    return {**sample, "index": np.int64(index)}
