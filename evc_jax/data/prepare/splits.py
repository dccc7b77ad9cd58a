"""Which speakers train, validate and test: deterministic, and no speaker on two sides."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from evc_jax.data.corpora.recording import Recording

HELD_OUT_FRACTION = 0.1
MIN_GROUP = 3


def assign_splits(recordings: Sequence[Recording]) -> list[Recording]:
    """Gives every recording a split; splits that the corpus itself gives are kept.

    Validation and test, where the corpus lacks them, are drawn from the rest: per sex, the speakers whose names have
    the smallest SHA-256, `max(1, round(HELD_OUT_FRACTION * speakers))` for each, if the sex has three speakers or
    more. When no sex has three but all together do, sexes are not distinguished.

    NOTE: A corpus with fewer than three speakers cannot be split by speaker; its utterances are split by their hash
    instead, so validation and test then measure new sentences, not new voices.

    Returns:
      The recordings in their order, each with `split` set to "train", "validation" or "test".
    """
    given = {recording.split for recording in recordings if recording.split}
    missing = [split for split in ("test", "validation") if split not in given]
    pool = [recording for recording in recordings if recording.split in (None, "train")]
    if len({recording.speaker for recording in pool}) >= MIN_GROUP:
        drawn, unit = _draw_speakers(pool, missing), "speaker"
    else:
        drawn, unit = _draw([r.utterance_id for r in pool], missing), "utterance_id"
    return [
        recording
        if recording.split in ("validation", "test")
        else dataclasses.replace(recording, split=drawn.get(getattr(recording, unit), "train"))
        for recording in recordings
    ]


def _draw_speakers(pool: Sequence[Recording], splits: Sequence[str]) -> dict[str, str]:
    by_sex: dict[str, set[str]] = defaultdict(set)
    for recording in pool:
        by_sex[recording.sex].add(recording.speaker)
    groups = [speakers for speakers in by_sex.values() if len(speakers) >= MIN_GROUP]
    if not groups:
        groups = [set().union(*by_sex.values())]
    drawn: dict[str, str] = {}
    for speakers in groups:
        drawn.update(_draw(speakers, splits))
    return drawn


def _draw(names: Iterable[str], splits: Sequence[str]) -> dict[str, str]:
    ranked = sorted(names, key=sha256_rank)
    if len(ranked) < MIN_GROUP:
        return {}
    size = max(1, round(HELD_OUT_FRACTION * len(ranked)))
    return {name: split for i, split in enumerate(splits) for name in ranked[i * size : (i + 1) * size]}


def sha256_rank(name: str) -> str:
    """Orders names as if at random, the same on every machine."""
    return hashlib.sha256(name.encode()).hexdigest()
