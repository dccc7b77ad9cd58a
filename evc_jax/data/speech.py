"""The TFDS dataset `speech`: one config per corpus, ArrayRecord shards, byte for byte the same from the same input.

A shard is a list of utterances fixed beforehand by their hashes, and is written by a picklable generator of its own,
so that Apache Beam can write shards on many machines and get the same examples.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.proto import tf_example_pb2

from evc_jax.data.extraction import Extracted, load_arrays
from evc_jax.data.splits import sha256_rank

SHARD_EXAMPLES = 512
EMBEDDING_DIM = 256
TEXT_FIELDS = ("speaker", "sex", "emotion", "corpus_emotion", "text_id", "text", "utterance_id")


@dataclasses.dataclass(frozen=True)
class Speaker:
    """What is known of a speaker over all of their utterances.

    Attributes:
      embedding: [256], mean of the utterances' embeddings, unit length.
      log_f0_mean, log_f0_std: of the natural logarithm of F0 in Hz over the voiced frames.
    """

    name: str
    sex: str
    split: str
    utterances: int
    embedding: np.ndarray
    log_f0_mean: float
    log_f0_std: float


@dataclasses.dataclass(frozen=True)
class ShardExamples:
    """Generates the (key, example) pairs of one shard."""

    utterances: Sequence[Extracted]
    speakers: Mapping[str, Speaker]

    def __call__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for utterance in self.utterances:
            recording = utterance.recording
            yield recording.utterance_id, _example(utterance, self.speakers[recording.speaker])


def shards_of(extracted: Sequence[Extracted], speakers: Mapping[str, Speaker]) -> dict[str, list[ShardExamples]]:
    """Distributes utterances over shards, per split, shuffled by the hash of their ids."""
    ranked = sorted(extracted, key=lambda utterance: sha256_rank(utterance.recording.utterance_id))
    shards = {}
    for split in ("train", "validation", "test"):
        members = [utterance for utterance in ranked if utterance.recording.split == split]
        chunks = [members[i : i + SHARD_EXAMPLES] for i in range(0, len(members), SHARD_EXAMPLES)]
        if chunks:
            shards[split] = [
                ShardExamples(chunk, {u.recording.speaker: speakers[u.recording.speaker] for u in chunk})
                for chunk in chunks
            ]
    return shards


# No repr: TFDS logs its configs, and this one holds all speakers and file names.
@dataclasses.dataclass(eq=False, repr=False)
class SpeechConfig(tfds.core.BuilderConfig):
    """One dataset of the builder.

    Attributes:
      mel_bands: F of the spectrograms.
      licence: of the recordings.
      metadata: what `metadata.json` holds.
      shards: per split one generator per shard; empty when only reading.
    """

    mel_bands: int = 80
    licence: str = ""
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    shards: Mapping[str, Sequence[ShardExamples]] = dataclasses.field(default_factory=dict)


class Speech(tfds.core.ShardBasedBuilder):
    """Utterances with spectrogram, pitch, speaker and emotion.

    NOTE: shards are given, not made by TFDS's shuffler, which keeps a split in memory and needs TensorFlow past 1 GB.
    """

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        return tfds.core.DatasetInfo(
            builder=self,
            description="Speech features for emotional voice cloning.",
            features=_features(config.mel_bands),
            license=config.licence,
            metadata=tfds.core.MetadataDict(config.metadata),
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(self, dl_manager) -> Mapping[str, Sequence[ShardExamples]]:
        del dl_manager
        return self.builder_config.shards

    def _example_writer(self) -> tfds.core.ExampleWriter:
        return DeterministicWriter(self.info.file_format)


class DeterministicWriter(tfds.core.ExampleWriter):
    """Writes ArrayRecord files whose bytes depend on the examples alone.

    Protocol buffers order the entries of a map anew in each process unless they are told not to.
    """

    def write(self, path, examples) -> None:
        writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
        for _, record in examples:
            example = tf_example_pb2.Example.FromString(record)
            writer.write(example.SerializeToString(deterministic=True))
        writer.close()


def _features(mel_bands: int) -> tfds.features.FeaturesDict:
    # Raw bytes decode 35 times faster than lists of numbers and take half the space.
    array = functools.partial(tfds.features.Tensor, encoding="bytes")
    return tfds.features.FeaturesDict(
        {
            "mel": array(shape=(None, mel_bands), dtype=np.float32),
            "f0_hz": array(shape=(None,), dtype=np.float32),
            "audio": array(shape=(None,), dtype=np.int16),
            "speaker_embedding": array(shape=(EMBEDDING_DIM,), dtype=np.float32),
            "utterance_embedding": array(shape=(EMBEDDING_DIM,), dtype=np.float32),
            "log_f0_mean": tfds.features.Scalar(np.float32),
            "log_f0_std": tfds.features.Scalar(np.float32),
            **{name: tfds.features.Text() for name in TEXT_FIELDS},
        }
    )


def _example(utterance: Extracted, speaker: Speaker) -> dict[str, Any]:
    arrays, recording = load_arrays(utterance.file), utterance.recording
    return {
        "mel": arrays["mel"],
        "f0_hz": arrays["f0_hz"],
        "audio": arrays["audio"],
        "speaker_embedding": speaker.embedding,
        "utterance_embedding": arrays["embedding"],
        "log_f0_mean": np.float32(speaker.log_f0_mean),
        "log_f0_std": np.float32(speaker.log_f0_std),
        **{name: getattr(recording, name) for name in TEXT_FIELDS},
    }
