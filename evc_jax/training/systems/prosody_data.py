"""Pairs of recordings of one speaker, the second with another emotion: what the prosody network trains on.

Where the speaker said the same sentence both times, the recordings are aligned and every frame has its own change to
learn. Elsewhere a recording of another sentence gives the change of the whole recording's means.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from evc_jax.audio.chunking import WINDOW_FRAMES, split_windows
from evc_jax.audio.config import AudioConfig
from evc_jax.data.corpora.recording import INTENSITIES
from evc_jax.data.requirements import NEUTRAL, choose_pairs, require_pairs
from evc_jax.features import dtw
from evc_jax.features import prosody as prosody_features
from evc_jax.features.prosody import CEPSTRA, Prosody, ProsodyReference

FIELDS = ("mel", "f0_hz", "level_gain", "speaker", "emotion", "corpus_emotion", "text_id")
# Local durations are ratios over so many frames to either side, and within this range.
DURATION_FRAMES = 12
LONGEST_RATIO = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class Utterance:
    """A recording with its prosody; `track` and `summary` are what the network reads, `intensity` is 1 at most."""

    speaker: str
    emotion: str
    text_id: str
    intensity: float
    mel: Float[np.ndarray, "T F"]
    prosody: Prosody
    reference: ProsodyReference
    track: Float[np.ndarray, "T I"]
    summary: Float[np.ndarray, " S"]


@dataclasses.dataclass(frozen=True)
class PairedSplit:
    """Windows of pairs, as a `sampling.Table`.

    Attributes:
      track, summary: of the source; see `features.prosody.network_inputs`.
      change: to the target; see `models.prosody`.
      mask: 1 where the change is known.
      emotion, intensity: the number of the target's emotion, and how much of it there is: 1 at most.
      aligned: 1 where the sentence is the same.
      from_neutral: 1 where the source is neutral and the sentence the same.
      pair_weight: of each window; every emotion of every intensity and dataset weighs the same, and the mean is 1.
      source: the number of the source's utterance.
    """

    track: Float[np.ndarray, "N T I"]
    summary: Float[np.ndarray, "N S"]
    change: Float[np.ndarray, "N T O"]
    mask: Float[np.ndarray, "N T O"]
    emotion: Int[np.ndarray, " N"]
    intensity: Float[np.ndarray, " N"]
    aligned: Float[np.ndarray, " N"]
    from_neutral: Float[np.ndarray, " N"]
    pair_weight: Float[np.ndarray, " N"]
    source: Int[np.ndarray, " N"]

    def __len__(self) -> int:
        return len(self.emotion)

    def __getitem__(self, index: int | np.ndarray) -> dict[str, Any]:
        return {entry.name: getattr(self, entry.name)[index] for entry in dataclasses.fields(self)[:-1]}


def read_utterances(source: Sequence[Mapping[str, Any]], config: AudioConfig) -> list[Utterance]:
    """The prosody of all utterances of a split, which have `FIELDS`."""
    quiet = not sys.stderr.isatty()
    records = (source[i] for i in range(len(source)))
    return [_utterance(r, config) for r in tqdm(records, "measuring prosody", len(source), disable=quiet)]


def _utterance(record: Mapping[str, Any], config: AudioConfig) -> Utterance:
    prosody = prosody_features.measure(record["mel"], record["f0_hz"], float(record["level_gain"]), config)
    reference = prosody_features.reference_of(prosody)
    inputs = prosody_features.network_inputs(prosody, reference)
    known = (record["speaker"], record["emotion"], record["text_id"])
    intensity = INTENSITIES.get(record["corpus_emotion"].split("-")[-1], 1.0) if record["emotion"] != NEUTRAL else 1.0
    return Utterance(*known, intensity, record["mel"], prosody, reference, *inputs)


def change_between(
    source: Utterance, target: Utterance, aligned: bool
) -> tuple[Float[np.ndarray, "T O"], Float[np.ndarray, "T O"]]:
    """The change that makes the target of the source, at the source's frames, and where it is known (1)."""
    ours, theirs = source.prosody, target.prosody
    frames = len(source.mel)
    if not aligned:
        shift = target.reference.semitones - source.reference.semitones
        means = [shift, *(target.reference.cepstra_db - source.reference.cepstra_db), 0]
        mask = np.column_stack([ours.voiced, *[ours.active] * CEPSTRA, np.zeros(frames)])
        return np.tile(np.asarray(means, np.float32), (frames, 1)), mask.astype(np.float32)
    rows, columns = dtw.find_path(source.mel, target.mel)

    def at_source(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts = np.bincount(rows, known, minlength=frames)
        return np.bincount(rows, known * values[columns], minlength=frames) / np.maximum(counts, 1), counts > 0

    melody, voiced = at_source(theirs.semitones, (ours.voiced[rows] & theirs.voiced[columns]).astype(float))
    speech = (ours.active[rows] & theirs.active[columns]).astype(float)
    cepstra, active = zip(*(at_source(theirs.cepstra_db[:, k], speech) for k in range(CEPSTRA)), strict=True)
    change = [melody - ours.semitones, *(np.transpose(cepstra) - ours.cepstra_db).T, _log_duration(rows, columns)]
    mask = np.column_stack([voiced, *active, active[0]]).astype(np.float32)
    return np.column_stack(change).astype(np.float32) * mask, mask


def _log_duration(rows: np.ndarray, columns: np.ndarray) -> Float[np.ndarray, " T"]:
    """How much longer the target's frames last at each of the source's."""
    positions = np.bincount(rows, columns) / np.bincount(rows)
    index = np.arange(len(positions))
    low, high = np.maximum(index - DURATION_FRAMES, 0), np.minimum(index + DURATION_FRAMES, len(positions) - 1)
    ratio = (positions[high] - positions[low]) / np.maximum(high - low, 1)
    return np.log(np.clip(ratio, 1 / LONGEST_RATIO, LONGEST_RATIO))


def pair_split(
    utterances: Sequence[Utterance],
    emotions: Sequence[str],
    groups: Sequence[str],
    others: int,
    all_needed: bool = True,
) -> PairedSplit:
    """All pairs of a split as windows.

    Args:
      utterances: of the split.
      emotions: the emotions of interest, in order; others are sources only.
      groups: of each utterance the dataset, whose emotions are to weigh the same.
      others: see `choose_pairs`.
      all_needed: whether every emotion must have a pair.

    Raises:
      DataError: an emotion that is needed has no pair, or there is none at all.
    """
    rows: dict[str, list[np.ndarray]] = defaultdict(list)
    labels: list[tuple[int, str, float, float, float, int]] = []
    quiet = not sys.stderr.isatty()
    for source, target, aligned in tqdm(choose_pairs(utterances, emotions, others), "aligning pairs", disable=quiet):
        ours = utterances[source]
        change, mask = change_between(ours, utterances[target], aligned)
        for name, values in (("track", ours.track), ("change", change), ("mask", mask)):
            rows[name].append(split_windows(values, WINDOW_FRAMES))
        count = len(rows["track"][-1])
        rows["summary"].append(np.repeat(ours.summary[None], count, axis=0))
        neutral = float(aligned and ours.emotion == NEUTRAL)
        kind = (emotions.index(utterances[target].emotion), groups[target], utterances[target].intensity)
        labels += [(*kind, float(aligned), neutral, source)] * count
    require_pairs(emotions, {emotions[label] for label, *_ in labels}, all_needed)
    numbers, of_group, intensities, aligned_windows, neutral_sources, sources = zip(*labels, strict=True)
    return PairedSplit(
        **{name: np.concatenate(values) for name, values in rows.items()},
        emotion=np.asarray(numbers, np.int32),
        intensity=np.asarray(intensities, np.float32),
        aligned=np.asarray(aligned_windows, np.float32),
        from_neutral=np.asarray(neutral_sources, np.float32),
        pair_weight=_weights(list(zip(numbers, of_group, intensities, strict=True))),
        source=np.asarray(sources, np.int64),
    )


def _weights(kinds: Sequence[tuple[int, str, float]]) -> Float[np.ndarray, " N"]:
    """One weight a window, by the number of windows of its kind, so that all kinds weigh the same; their mean is 1."""
    codes = {kind: i for i, kind in enumerate(sorted(set(kinds)))}
    number = np.array([codes[kind] for kind in kinds])
    weights = 1 / np.bincount(number)[number]
    return (weights / weights.mean()).astype(np.float32)
