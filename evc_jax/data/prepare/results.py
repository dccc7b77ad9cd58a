"""The results of an extraction: what is usable, a digest of it, and the metadata of the dataset."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from etils import epath

from evc_jax.audio.config import AudioConfig
from evc_jax.config import to_mapping
from evc_jax.data.corpora import CORPORA
from evc_jax.data.corpora.recording import SPLITS
from evc_jax.data.prepare import storage
from evc_jax.data.prepare.extract import Failure, features_file, read_outcome
from evc_jax.data.prepare.plan import DESCRIPTION, Plan, Utterance, embedder_name
from evc_jax.errors import DataError
from evc_jax.files import printable

METADATA_FORMAT = 1
MAX_FAILED_FRACTION = 0.05


def gather_results(
    plan: Plan, utterances: Sequence[Utterance], work: epath.Path, source: str | Path
) -> tuple[list[int], list[Utterance], list[Failure], str]:
    """The results of all shards, which are finished.

    Args:
      plan: the shards.
      utterances: all of the corpus, ordered by id.
      work: the work folder.
      source: the corpus's folder, for the error.

    Returns:
      How many utterances of each shard are usable; the usable ones, and the failures, both ordered by id; and a digest
      of the features and of what is known of the utterances, wherever the corpus lies.

    Raises:
      DataError: more than `MAX_FAILED_FRACTION` of the recordings cannot be used.
    """
    outcomes = storage.all_at_once(functools.partial(read_outcome, work), plan.shards)
    by_shard = [failures for failures, _ in outcomes]
    failures = sorted((failure for some in by_shard for failure in some), key=lambda failure: failure.utterance_id)
    if len(failures) > MAX_FAILED_FRACTION * len(utterances):
        # After a repair, or when a disk is back, they get another chance.
        for shard, some in zip(plan.shards, by_shard, strict=True):
            if some:
                features_file(work, shard).unlink()
        first = "; ".join(failure.reason.rstrip(".") for failure in failures[:3])
        raise DataError(
            f"{len(failures)} of the {len(utterances)} recordings in {printable(source)} cannot be used, more than "
            f"{MAX_FAILED_FRACTION:.0%}; repair or remove them (the first: {first})."
        )
    failed = {failure.utterance_id for failure in failures}
    usable = [utterance for utterance in utterances if utterance.utterance_id not in failed]
    digest = hashlib.sha256("".join(features for _, features in outcomes).encode())
    for utterance in usable:
        digest.update(json.dumps([getattr(utterance, name) for name in DESCRIPTION]).encode())
    counts = [shard.utterances - len(some) for shard, some in zip(plan.shards, by_shard, strict=True)]
    return counts, usable, failures, digest.hexdigest()[:32]


def describe(
    corpus: str,
    config: AudioConfig,
    embedder: str | Callable,
    utterances: Sequence[Utterance],
    failures: Sequence[Failure],
    digest: str,
) -> dict[str, Any]:
    """The dataset's metadata."""
    splits = Counter(utterance.split for utterance in utterances)
    return {
        "format": METADATA_FORMAT,
        "corpus": corpus,
        "licence": CORPORA[corpus].licence,
        "audio": to_mapping(config),
        "embedder": embedder_name(embedder),
        "counts": {split: splits[split] for split in SPLITS if splits[split]},
        "emotions": dict(sorted(Counter(utterance.emotion for utterance in utterances).items())),
        "speakers": len({utterance.speaker for utterance in utterances}),
        "failures": [dataclasses.asdict(failure) for failure in failures],
        "digest": digest,
    }
