"""The recordings of an evaluation: those that are judged, and those that baselines and recogniser learn from."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from evc_jax.audio.config import AudioConfig
from evc_jax.data.corpora.recording import INTENSITIES
from evc_jax.data.dataset import audio_config, dataset_names, open_split
from evc_jax.data.sampling import spread_evenly
from evc_jax.errors import DataError
from evc_jax.evaluation.metrics import Record

NEUTRAL = "neutral"
HEADLINE = ("happy", "sad", "angry")
FIELDS = (
    *("audio", "mel", "f0_hz", "speaker", "sex", "emotion", "corpus_emotion", "text_id", "text", "utterance_id"),
    *("speaker_embedding", "utterance_embedding"),
)
SPLITS = ("train", "validation", "test")
# How corpora call the stronger of their intensities, at the end of `corpus_emotion`.
STRONG = tuple(f"-{word}" for word, share in INTENSITIES.items() if share == 1)


@dataclass(frozen=True, eq=False)
class Speech:
    """Records with the fields `FIELDS` and `dataset`. No judged speaker is in the training part.

    Attributes:
      config: audio settings of all records; samples are at its rate and level.
      training: of the training split.
      judged: of the split or the speakers that are judged.
    """

    config: AudioConfig
    training: list[Record]
    judged: list[Record]

    @classmethod
    def open(
        cls,
        data_dir: str | os.PathLike,
        datasets: str | Sequence[str],
        split: str = "test",
        speakers: Sequence[str] | None = None,
    ) -> Speech:
        """Reads prepared datasets.

        Args:
          data_dir: where `evc prepare` collected them.
          datasets: names, or one string of names joined by commas.
          split: that is judged.
          speakers: are judged instead of the split, wherever they are; the training part is without them.

        Raises:
          DataError: a dataset, the split or a speaker does not exist, or nothing is left to judge.
        """
        config = audio_config(data_dir, datasets)
        training: list[Record] = []
        judged: list[Record] = []
        for name in dataset_names(datasets):
            for each in SPLITS if speakers else dict.fromkeys(("train", split)):
                for record in open_split(data_dir, name, each, FIELDS, cache_bytes=0):
                    record["dataset"] = name
                    if record["speaker"] in speakers if speakers else each == split:
                        judged.append(record)
                    elif each == "train":
                        training.append(record)
        if missing := set(speakers or ()) - {record["speaker"] for record in judged}:
            raise DataError(f"There is no speaker {', '.join(sorted(missing))} in {datasets}; name others.")
        if not judged:
            raise DataError(f"The {split} split of {datasets} is empty; name other datasets.")
        return cls(config, training, judged)

    def sources(self, limit: int = 4) -> list[Record]:
        """Neutral recordings to convert: at most `limit` of each judged speaker, of different sentences first."""
        chosen = []
        for records in by_speaker([record for record in self.judged if record["emotion"] == NEUTRAL]).values():
            first = list({record["text_id"]: record for record in reversed(records)}.values())
            others = [record for record in records if all(record is not other for other in first)]
            chosen += spread_evenly(first, limit) + others[: max(0, limit - len(first))]
        return chosen

    def own_takes(self, speaker: str, text_id: str, emotion: str) -> list[Record]:
        """What a judged speaker recorded of a sentence in an emotion; the strong takes where there are such."""
        takes = [r for r in self.judged if (r["speaker"], r["text_id"], r["emotion"]) == (speaker, text_id, emotion)]
        return strong_takes(takes)

    def emotions(self, dataset: str | None = None) -> tuple[str, ...]:
        """The emotions beside neutral that speakers with neutral recordings have, of one dataset or of all."""
        known = {r["speaker"] for r in self.judged if r["emotion"] == NEUTRAL}
        found = {r["emotion"] for r in self.judged if r["speaker"] in known and dataset in (None, r["dataset"])}
        return (*(e for e in HEADLINE if e in found), *sorted(found - {NEUTRAL, "unknown", *HEADLINE}))


def by_speaker(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records of each speaker, in their order."""
    speakers: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        speakers[record["speaker"]].append(record)
    return dict(speakers)


def strong_takes(records: Sequence[Record]) -> list[Record]:
    """Those of the stronger intensity, where the corpus has intensities; otherwise all."""
    return [record for record in records if record["corpus_emotion"].endswith(STRONG)] or list(records)
