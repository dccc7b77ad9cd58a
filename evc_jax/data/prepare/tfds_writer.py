"""The TFDS dataset `speech`: one config per corpus, ArrayRecord shards, byte for byte the same from the same input.

Which utterances a shard holds follows from the plan and from what could not be used; each is written by a call of its
own, in any process of any machine, and the description of the whole comes last.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import operator
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from etils import epath
from tensorflow_datasets.core import dataset_info, example_serializer, naming
from tensorflow_datasets.proto import tf_example_pb2

from evc_jax.audio.config import AudioConfig
from evc_jax.data.dataset import BUILDER_NAME, VERSION
from evc_jax.data.encoding import Storage, encode_audio, encode_mel
from evc_jax.data.prepare import storage
from evc_jax.data.prepare.extract import ShardFeatures, open_features
from evc_jax.data.prepare.plan import WorkShard
from evc_jax.data.prepare.speaker_stats import Speaker, load_speakers
from evc_jax.errors import one_line
from evc_jax.features import EMBEDDING_DIM

SHARD_EXAMPLES = 512
TEXT_FIELDS = ("speaker", "sex", "emotion", "corpus_emotion", "text_id", "text", "utterance_id")


@dataclasses.dataclass(frozen=True)
class Piece:
    """Consecutive usable utterances of a finished work shard: `start` to `stop`, without it."""

    shard: WorkShard
    start: int
    stop: int


@dataclasses.dataclass(frozen=True)
class OutputShard:
    """One file of the dataset, the `index`-th of `total` of its split."""

    split: str
    index: int
    total: int
    pieces: tuple[Piece, ...]

    @property
    def utterances(self) -> int:
        return sum(piece.stop - piece.start for piece in self.pieces)


def output_shards(shards: Sequence[WorkShard], usable: Sequence[int]) -> list[OutputShard]:
    """Distributes the `usable` utterances of all shards over files of `SHARD_EXAMPLES`, per split, in their order."""
    output = []
    for split in dict.fromkeys(shard.split for shard in shards):
        members = [
            (shard, i)
            for shard, count in zip(shards, usable, strict=True)
            if shard.split == split
            for i in range(count)
        ]
        files = [members[start : start + SHARD_EXAMPLES] for start in range(0, len(members), SHARD_EXAMPLES)]
        output += [OutputShard(split, i, len(files), _pieces(file)) for i, file in enumerate(files)]
    return output


def _pieces(members: Sequence[tuple[WorkShard, int]]) -> tuple[Piece, ...]:
    numbers = ((shard, [i for _, i in group]) for shard, group in itertools.groupby(members, operator.itemgetter(0)))
    return tuple(Piece(shard, found[0], found[-1] + 1) for shard, found in numbers)


def write_shard(shard: OutputShard, work: str, folder: str, speakers: str, config: AudioConfig, form: Storage) -> None:
    """Writes one file of the dataset into `folder`, whole or not at all; does nothing where it is already.

    Its bytes depend on the examples alone: protocol buffers order the entries of a map anew in each process unless
    `deterministic` is set.
    """
    path = shard_file(folder, shard)
    if path.exists():
        return
    features = _features(config.mel_bands, form)
    serializer = example_serializer.ExampleSerializer(features.get_serialized_info())
    with storage.atomic_file(path) as local:
        writer = array_record_module.ArrayRecordWriter(os.fsencode(local), "group_size:1")
        try:
            table = load_speakers(speakers)
            for piece in shard.pieces:
                with open_features(work, piece.shard, download=True) as found:
                    for index in range(piece.start, piece.stop):
                        example = features.encode_example(_example(found, index, table, config, form))
                        record = tf_example_pb2.Example.FromString(serializer.serialize_example(example))
                        writer.write(record.SerializeToString(deterministic=True))
            writer.close()
        except RuntimeError as error:  # its error for a full disk
            raise OSError(one_line(error).split(";")[0]) from error


def shard_file(folder: epath.PathLike, shard: OutputShard) -> epath.Path:
    """The file of a shard."""
    template = _template(folder).replace(split=shard.split)
    return template.sharded_filepath(shard_index=shard.index, num_shards=shard.total)


def write_description(
    folder: epath.PathLike, name: str, shards: Sequence[OutputShard], metadata: Mapping[str, Any]
) -> None:
    """Writes the description that TFDS and `data.dataset` read, once the shards are there."""
    sizes = storage.all_at_once(lambda shard: shard_file(folder, shard).stat().length, shards)
    identity = dataset_info.DatasetIdentity(
        name=BUILDER_NAME,
        version=tfds.core.Version(VERSION),
        data_dir=str(folder),
        module_name=__name__,
        config_name=name,
    )
    info = dataset_info.DatasetInfo(
        builder=identity,
        description="Speech features for emotional voice cloning.",
        features=_features(metadata["audio"]["mel_bands"], Storage(**metadata["storage"])),
        license=metadata["licence"],
        metadata=tfds.core.MetadataDict(metadata),
        disable_shuffling=True,
    )
    info.set_file_format("array_record")
    splits = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[shard.utterances for shard in shards if shard.split == split],
            num_bytes=sum(size for shard, size in zip(shards, sizes, strict=True) if shard.split == split),
            filename_template=_template(folder),
        )
        for split in dict.fromkeys(shard.split for shard in shards)
    ]
    info.set_splits(tfds.core.splits.SplitDict(splits))
    info.write_to_directory(folder)


def _template(folder: epath.PathLike) -> naming.ShardedFileTemplate:
    return naming.ShardedFileTemplate(
        data_dir=epath.Path(folder), dataset_name=BUILDER_NAME, filetype_suffix="array_record"
    )


def _features(mel_bands: int, form: Storage) -> tfds.features.FeaturesDict:
    # Raw bytes decode 35 times faster than lists of numbers and take half the space.
    array = functools.partial(tfds.features.Tensor, encoding="bytes")
    mel = (
        array(shape=(None, mel_bands), dtype=np.float32)
        if form.mel == "float32"
        else array(shape=(2, None, mel_bands), dtype=np.uint8, encoding="zlib")
    )
    return tfds.features.FeaturesDict(
        {
            "mel": mel,
            "f0_hz": array(shape=(None,), dtype=np.float32),
            "audio": array(shape=(None,), dtype=np.int16 if form.audio == "pcm" else np.uint8),
            "speaker_embedding": array(shape=(EMBEDDING_DIM,), dtype=np.float32),
            "utterance_embedding": array(shape=(EMBEDDING_DIM,), dtype=np.float32),
            "log_f0_mean": tfds.features.Scalar(np.float32),
            "log_f0_std": tfds.features.Scalar(np.float32),
            "level_gain": tfds.features.Scalar(np.float32),
            **{name: tfds.features.Text() for name in TEXT_FIELDS},
        }
    )


def _example(
    features: ShardFeatures, index: int, speakers: Mapping[str, Speaker], config: AudioConfig, form: Storage
) -> dict[str, Any]:
    utterance = features.utterances[index]
    speaker = speakers[utterance.speaker]
    return {
        "mel": encode_mel(features.archive[f"mel/{index}"], form),
        "f0_hz": features.f0_hz[index],
        "audio": encode_audio(features.archive[f"audio/{index}"], config.sample_rate_hz, form),
        "speaker_embedding": speaker.embedding,
        "utterance_embedding": features.embeddings[index],
        "log_f0_mean": np.float32(speaker.log_f0_mean),
        "log_f0_std": np.float32(speaker.log_f0_std),
        "level_gain": np.float32(features.level_gains[index]),
        **{name: getattr(utterance, name) for name in TEXT_FIELDS},
    }
