"""What trainings require of their data: asked before each training, and of a new dataset when it is prepared."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from evc_jax.audio.config import AudioConfig
from evc_jax.data.corpora.recording import EMOTIONS
from evc_jax.data.sampling import spread_evenly
from evc_jax.errors import DataError
from evc_jax.features.speaker import MEL_HOP_SAMPLES, PARTIAL_FRAMES

NEUTRAL, UNKNOWN = "neutral", "unknown"
VOICE_SEXES = ("male", "female")  # in the order of VoiceGAN's labels
MIN_CROP_FRAMES = 64  # of SpeechSplit and the F0 converter


def timbre_window_frames(config: AudioConfig, window_frames: int = PARTIAL_FRAMES) -> int:
    """Mel frames that a window of the voice encoder lies in, which the timbre converter trains on."""
    return math.ceil(window_frames * MEL_HOP_SAMPLES / config.hop_samples) + 1


def require_splits(counts: Mapping[str, int], dataset: str, splits: Sequence[str]) -> None:
    """Raises DataError unless a dataset has utterances in these splits; `counts` are those of its splits."""
    for split in splits:
        if split not in counts:
            raise DataError(f"Dataset {dataset} has no {split} split; it has {', '.join(counts)}.")


def require_both_sexes(sexes: Collection[str]) -> None:
    """Raises DataError unless some of the speakers with these sexes are male and some female."""
    for name in VOICE_SEXES:
        if name not in sexes:
            raise DataError(f"None of the {len(sexes)} speakers is {name}; add a dataset with both sexes.")


def require_two_speakers(speakers: Collection[str]) -> None:
    """Raises DataError unless there are two speakers with utterances that are long enough."""
    if len(set(speakers)) < 2:
        raise DataError(
            "The data has fewer than two speakers with utterances that are long enough; add another dataset."
        )


def emotions_of(labels: Iterable[str], where: str) -> tuple[str, ...]:
    """The emotions that occur, in the order of the vocabulary; `where` they do, for the message.

    Raises:
      DataError: there are fewer than two.
    """
    counts = Counter(labels)
    found = tuple(name for name in EMOTIONS if counts[name] and name != UNKNOWN)
    if len(found) < 2:
        there = ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"
        raise DataError(f"{where} has no two emotions (it has {there}); add a dataset of emotional speech.")
    return found


def choose_pairs(utterances: Sequence[Any], emotions: Sequence[str], others: int) -> Iterator[tuple[int, int, bool]]:
    """Pairs of one speaker's utterances, of which the second has one of the emotions.

    Sources are the speaker's neutral recordings, and of the others evenly spread `others` for each target.

    Args:
      utterances: with `speaker`, `emotion` and `text_id`.
      emotions: of the targets.
      others: sources of other emotions for each target.

    Yields:
      the numbers of source and target, and whether their sentence is the same.
    """
    by_speaker: dict[str, list[int]] = defaultdict(list)
    for number, utterance in enumerate(utterances):
        by_speaker[utterance.speaker].append(number)
    for members in by_speaker.values():
        for emotion in emotions:
            targets = [i for i in members if utterances[i].emotion == emotion]
            for turn, target in enumerate(targets):
                yield from _pairs_to(target, turn, members, utterances, others)


def _pairs_to(
    target: int, turn: int, members: Sequence[int], utterances: Sequence[Any], others: int
) -> Iterator[tuple[int, int, bool]]:
    text = utterances[target].text_id
    same = [i for i in members if i != target and text and utterances[i].text_id == text]
    neutral = [i for i in same if utterances[i].emotion == NEUTRAL]
    rest = [i for i in same if utterances[i].emotion != NEUTRAL]
    for source in [*neutral, *spread_evenly(rest[turn % 7 :], others)]:
        yield source, target, True
    if not same:
        apart = [i for i in members if i != target and utterances[i].emotion == NEUTRAL]
        for source in spread_evenly(apart[turn % 7 :], 1 + others):
            yield source, target, False


def require_pairs(emotions: Sequence[str], paired: Collection[str], all_needed: bool = True) -> None:
    """Raises DataError where emotions have no pair; unless `all_needed`, where none has."""
    missing = [name for name in emotions if name not in paired]
    if missing and (all_needed or not paired):
        rest = [name for name in emotions if name in paired]
        also = f"give --config.options.emotions={','.join(rest)}" if len(rest) > 1 else "add a dataset in which one did"
        raise DataError(
            f"No speaker recorded {', '.join(missing)} and the same sentence with another emotion, or any sentence "
            f"neutrally; {also}."
        )
