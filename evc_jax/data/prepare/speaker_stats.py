"""Speakers: statistics over all of their utterances, pooled one speaker at a time, and their table."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any

import numpy as np
from etils import epath

from evc_jax.data.prepare import storage
from evc_jax.data.prepare.extract import open_features
from evc_jax.data.prepare.plan import WorkShard
from evc_jax.features.f0_codes import log_f0_statistics
from evc_jax.features.speaker import embed_speaker


@dataclasses.dataclass(frozen=True)
class VoiceSample:
    """The contribution of one utterance to its speaker: two kilobytes.

    Attributes:
      voiced_hz: F0 of the voiced frames.
      embedding: [256].
    """

    utterance_id: str
    sex: str
    split: str
    voiced_hz: np.ndarray
    embedding: np.ndarray


@dataclasses.dataclass(frozen=True)
class Speaker:
    """The statistics of a speaker over all of their utterances.

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


def voice_samples(shard: WorkShard, work: str) -> Iterator[tuple[str, VoiceSample]]:
    """(speaker, sample) of every utterance of a finished shard."""
    with open_features(work, shard) as features:
        for utterance, f0_hz, embedding in zip(features.utterances, features.f0_hz, features.embeddings, strict=False):
            voiced_hz = f0_hz[f0_hz > 0]
            sample = VoiceSample(utterance.utterance_id, utterance.sex, utterance.split, voiced_hz, embedding)
            yield utterance.speaker, sample


def pool_speaker(name: str, samples: Iterable[VoiceSample]) -> Speaker:
    """The speaker of the samples, which come in any order: they are summed in that of their ids."""
    ordered = sorted(samples, key=attrgetter("utterance_id"))
    splits = {sample.split for sample in ordered}
    log_f0 = log_f0_statistics(np.concatenate([sample.voiced_hz for sample in ordered]))
    return Speaker(
        name=name,
        sex=ordered[0].sex,
        # A lone speaker's utterances are spread over all splits; as a voice they train.
        split=ordered[0].split if len(splits) == 1 else "train",
        utterances=len(ordered),
        embedding=np.asarray(embed_speaker([sample.embedding for sample in ordered]), np.float32),
        log_f0_mean=float(log_f0.mean),
        log_f0_std=float(log_f0.std),
    )


def save_speakers(part: int, speakers: Iterable[Speaker], folder: str) -> None:
    """Writes part of the table into the folder."""
    rows = sorted(speakers, key=attrgetter("name"))
    columns = {
        field.name: np.array([getattr(row, field.name) for row in rows]) for field in dataclasses.fields(Speaker)
    }
    _save(epath.Path(folder) / f"{part:05d}.npz", columns)


def join_parts(folder: epath.Path, table: epath.Path) -> None:
    """Joins the parts into one table, ordered by name."""
    parts = storage.all_at_once(_load, sorted(folder / name for name in storage.file_names(folder)))
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
