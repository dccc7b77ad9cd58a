"""Speakers: statistics over all of their utterances, pooled one speaker at a time, and their table."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from etils import epath

from evc_jax.data.corpora.recording import Recording
from evc_jax.data.prepare import storage
from evc_jax.data.prepare.extract import open_features
from evc_jax.data.prepare.plan import WorkShard
from evc_jax.features.f0_codes import log_f0_statistics
from evc_jax.features.speaker import embed_speaker

# Some two kilobytes each.
PART_UTTERANCES = 200_000
Sample = tuple[Recording, np.ndarray, np.ndarray]  # with F0 and embedding


@dataclasses.dataclass(frozen=True)
class SpeakerPart:
    """Speakers that are pooled together: those whose names have the same checksum modulo `total`."""

    index: int
    total: int
    utterances: int  # about, for the progress bar

    @property
    def file_name(self) -> str:
        """The part's file in the folder of parts."""
        return f"{self.index}-of-{self.total}.npz"

    def holds(self, speaker: str) -> bool:
        """Whether the speaker is in this part, the same in every process."""
        return zlib.crc32(speaker.encode()) % self.total == self.index


@dataclasses.dataclass(frozen=True)
class Speaker:
    """The statistics of a speaker over all of their utterances, see `dataset.SpeakerTable`."""

    name: str
    sex: str
    split: str
    utterances: int
    embedding: np.ndarray
    log_f0_mean: float
    log_f0_std: float


def speaker_parts(utterances: int) -> list[SpeakerPart]:
    """As many parts as it takes to hold the features of one in memory."""
    total = -(-utterances // PART_UTTERANCES)
    return [SpeakerPart(index, total, utterances // total) for index in range(total)]


def write_part(part: SpeakerPart, work: str, folder: str, shards: Sequence[WorkShard]) -> None:
    """Pools the speakers of a part over all shards, which are finished, and writes them into the folder."""
    found = storage.all_at_once(functools.partial(_samples, work=work, part=part), shards)
    by_speaker = defaultdict(list)
    for utterance, f0_hz, embedding in itertools.chain(*found):
        by_speaker[utterance.speaker].append((utterance, f0_hz, embedding))
    rows = [_pool(name, by_speaker[name]) for name in sorted(by_speaker)]
    columns = {
        field.name: np.array([getattr(row, field.name) for row in rows]) for field in dataclasses.fields(Speaker)
    }
    _save(epath.Path(folder) / part.file_name, columns if rows else {})


def _samples(shard: WorkShard, work: str, part: SpeakerPart) -> list[Sample]:
    with open_features(work, shard) as features:
        samples = zip(features.utterances, features.f0_hz, features.embeddings, strict=False)
        return [sample for sample in samples if part.holds(sample[0].speaker)]


def _pool(name: str, samples: Iterable[Sample]) -> Speaker:
    # In the order of their ids, on which sums depend.
    utterances, tracks, embeddings = zip(*sorted(samples, key=lambda sample: sample[0].utterance_id), strict=True)
    splits = {utterance.split for utterance in utterances}
    log_f0 = log_f0_statistics(np.concatenate([f0_hz[f0_hz > 0] for f0_hz in tracks]))
    return Speaker(
        name=name,
        sex=utterances[0].sex,
        # A lone speaker's utterances are spread over all splits; as a voice they train.
        split=splits.pop() if len(splits) == 1 else "train",
        utterances=len(utterances),
        embedding=np.asarray(embed_speaker(embeddings), np.float32),
        log_f0_mean=float(log_f0.mean),
        log_f0_std=float(log_f0.std),
    )


def join_parts(folder: epath.Path, table: epath.Path) -> None:
    """Joins the parts into one table, ordered by name."""
    tables = storage.all_at_once(_load, sorted(folder / name for name in storage.file_names(folder)))
    parts = [part for part in tables if part]
    columns = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    order = np.argsort(columns["name"], kind="stable")
    _save(table, {key: column[order] for key, column in columns.items()})


@functools.lru_cache(maxsize=1)
def load_speakers(table: str) -> dict[str, Speaker]:
    """The speakers of a table by name; a table's path is never used for another one."""
    columns = _load(epath.Path(table))
    embeddings = columns.pop("embedding")
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    speakers = (dict(zip(columns, row, strict=True)) for row in rows)
    return {row["name"]: Speaker(**row, embedding=embeddings[i]) for i, row in enumerate(speakers)}


def _save(file: epath.Path, columns: dict[str, Any]) -> None:
    with storage.atomic_file(file) as local, local.open("wb") as stream:
        np.savez(stream, **columns)


def _load(file: epath.Path) -> dict[str, np.ndarray]:
    with file.open("rb") as stream, np.load(stream) as table:
        return dict(table)
