"""The plan of a preparation: which recordings are extracted together, fixed before anything is read.

Recordings are ordered by split and by the hash of their ids and cut into shards. A shard's features lie in a file that
is named by a fingerprint of all they depend on: what is there need not be done again, and after a change of recordings,
settings or code nothing old is found.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from etils import epath

from evc_jax.audio.config import AudioConfig
from evc_jax.config import to_mapping
from evc_jax.data.corpora.recording import SPLITS, Recording
from evc_jax.data.prepare import storage
from evc_jax.data.prepare.splits import sha256_rank
from evc_jax.features.speaker import WEIGHTS

PLAN_FILE = "plan.jsonl"
# Few enough utterances that a killed worker loses a minute, few enough shards that listing them takes seconds.
MIN_SHARD_UTTERANCES, MAX_SHARD_UTTERANCES, MAX_SHARDS = 8, 512, 4096
# The fields of a recording that do not depend on where the corpus lies.
DESCRIPTION = ("utterance_id", "speaker", "sex", "emotion", "corpus_emotion", "text_id", "text", "split")
# The code whose change changes features: patterns of files in the package.
CODE = ("audio/**/*.py", "features/**/*.py", "models/*.py", "data/prepare/*.py", "data/encoding.py")


@dataclasses.dataclass(frozen=True)
class WorkShard:
    """Recordings of one split that are extracted together; the plan's file lists them between the two bytes."""

    fingerprint: str  # of everything their features depend on
    split: str
    utterances: int  # how many they are
    start_byte: int
    end_byte: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """All shards in order, and a digest of the plan's file and their fingerprints."""

    shards: tuple[WorkShard, ...]
    digest: str


def write_plan(work: epath.Path, utterances: Sequence[Recording], settings: str) -> Plan:
    """Writes the plan's file into the work folder; the order of the utterances does not matter.

    `settings` is what features depend on besides recordings, see `settings_fingerprint`.
    """
    size = min(MAX_SHARD_UTTERANCES, max(MIN_SHARD_UTTERANCES, -(-len(utterances) // MAX_SHARDS)))
    ranked = sorted(utterances, key=lambda utterance: sha256_rank(utterance.utterance_id))
    shards, position, digest = [], 0, hashlib.sha256()
    with storage.atomic_file(work / PLAN_FILE) as path, path.open("wb") as file:
        for split in SPLITS:
            members = [utterance for utterance in ranked if utterance.split == split]
            for start in range(0, len(members), size):
                chunk = members[start : start + size]
                lines = "".join(_line(utterance) for utterance in chunk).encode()
                file.write(lines)
                end = position + len(lines)
                shards.append(WorkShard(_fingerprint(chunk, settings), split, len(chunk), position, end))
                digest.update(lines + shards[-1].fingerprint.encode())
                position = end
    return Plan(tuple(shards), digest.hexdigest())


def _line(utterance: Recording) -> str:
    path, *rest = dataclasses.astuple(utterance)
    return json.dumps([os.fspath(path), *rest]) + "\n"


def read_utterances(work: epath.PathLike, shard: WorkShard) -> list[Recording]:
    """The recordings of a shard, in its order."""
    with (epath.Path(work) / PLAN_FILE).open("rb") as file:
        file.seek(shard.start_byte)
        lines = file.read(shard.end_byte - shard.start_byte)
    return [Recording(epath.Path(path), *rest) for path, *rest in map(json.loads, lines.decode().splitlines())]


def settings_fingerprint(config: AudioConfig, embedder: str | Callable) -> str:
    """Names everything but the recordings that features depend on: settings, embedder, our code and weights."""
    name = embedder if isinstance(embedder, str) else f"{embedder.__module__}.{embedder_name(embedder)}"
    return json.dumps([to_mapping(config), name, _code_digest()])


def embedder_name(embedder: str | Callable) -> str:
    """What an embedder is called in a dataset's metadata."""
    return embedder if isinstance(embedder, str) else getattr(embedder, "__name__", "custom")


@functools.cache
def _code_digest() -> str:
    package = Path(__file__).parents[2]
    digest = hashlib.sha256(WEIGHTS.read_bytes())
    for file in sorted(file for pattern in CODE for file in package.glob(pattern)):
        digest.update(file.relative_to(package).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


def _fingerprint(utterances: Sequence[Recording], settings: str) -> str:
    recordings = [(utterance.utterance_id, utterance.stamp) for utterance in utterances]
    return hashlib.sha256(json.dumps([settings, recordings]).encode()).hexdigest()[:32]
