"""An excerpt of a corpus of a given length, chosen before anything is extracted: always the same from the same corpus.

Recordings are put in an order of which every beginning is spread evenly, and taken from its start until the length is
reached. No more headers are read than that takes: about as many as recordings are chosen, however large the corpus.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from evc_jax.audio.decoding import stated_length
from evc_jax.data.corpora.recording import SPLITS, Recording
from evc_jax.data.prepare import storage
from evc_jax.data.prepare.splits import sha256_rank
from evc_jax.errors import AudioError, DataError

# The search for recordings that fill the rest ends after so many in a row that are too long.
MAX_MISSES = 64
# Headers that are read at once.
_BATCH = 256


def take_excerpt(
    utterances: Sequence[Recording],
    max_seconds: float,
    sample_rate_hz: int,
    log: Callable[[str], None] | None = None,
) -> list[Recording]:
    """Chooses recordings that are together `max_seconds` long at most, and only a little less; all if they are shorter.

    Splits have their shares of the corpus. In each split speakers come in turns, and of each speaker emotions, so that
    the excerpt has every one of both as far as one recording of each fits. A recording that cannot be opened is left
    out.

    Args:
      utterances: all of the corpus, with splits.
      max_seconds: the limit, of the recordings as they are.
      sample_rate_hz: the dataset's rate; lengths are rounded up to its samples.
      log: called with a sentence on what was chosen.

    Returns:
      the chosen ones, in the order of `utterances`.

    Raises:
      DataError: `max_seconds` is no positive number, or no recording that can be opened is that short.
    """
    if not 0 < max_seconds < math.inf:
        raise DataError(f"max_seconds is {max_seconds:g}; give a positive number.")
    rest = limit = int(max_seconds * sample_rate_hz)
    chosen, unreadable, misses, order = set(), 0, 0, _spread(utterances)
    length = functools.partial(_samples, sample_rate_hz=sample_rate_hz)
    while misses < MAX_MISSES and (batch := list(itertools.islice(order, _BATCH))):
        for recording, samples in zip(batch, storage.all_at_once(length, batch), strict=True):
            if not samples:
                unreadable += 1
            elif samples <= rest:
                misses, rest = 0, rest - samples
                chosen.add(recording.utterance_id)
            else:
                misses += 1
    if not chosen:
        raise DataError(
            f"No recording fits into {max_seconds:g} s ({unreadable} cannot be opened); allow more seconds."
        )
    if log:
        length_s, broken = (limit - rest) / sample_rate_hz, f"; {unreadable} cannot be opened" if unreadable else ""
        log(f"{len(chosen)} of {len(utterances)} recordings, {length_s:.1f} s, are the excerpt{broken}.")
    return [utterance for utterance in utterances if utterance.utterance_id in chosen]


def _samples(recording: Recording, sample_rate_hz: int) -> int:
    """The length at the dataset's rate, 0 of what cannot be opened."""
    try:
        with storage.local_copy(recording.path) as file:
            samples, rate_hz = stated_length(file)
    except (AudioError, FileNotFoundError):
        return 0
    return -(-samples * sample_rate_hz // rate_hz)


def _spread(utterances: Sequence[Recording]) -> Iterator[Recording]:
    """All of them; at any point about the same share of each split has come, and something of each split at first."""
    by_split = [[utterance for utterance in utterances if utterance.split == split] for split in SPLITS]

    def placed(number: int, members: list[Recording]) -> Iterator[tuple[float, int, Recording]]:
        return ((i / len(members), number, recording) for i, recording in enumerate(_in_turns(members)))

    return (recording for *_, recording in heapq.merge(*itertools.starmap(placed, enumerate(by_split))))


def _in_turns(members: Sequence[Recording]) -> Iterator[Recording]:
    """All of a split: first one of each emotion, then always the speaker and its emotion that came least often."""
    ranked = sorted(members, key=lambda recording: sha256_rank(recording.utterance_id))
    # Not by name, or short splits would all have the same emotions.
    emotions = list(dict.fromkeys(recording.emotion for recording in ranked))
    cells: dict[str, dict[str, list[Recording]]] = defaultdict(lambda: defaultdict(list))
    for recording in reversed(ranked):
        cells[recording.speaker][recording.emotion].append(recording)
    turns: Counter[str] = Counter()  # by speaker
    counts: Counter[str | tuple[str, str]] = Counter()  # by emotion, and by speaker and emotion
    ranks = {speaker: sha256_rank(speaker) for speaker in cells}

    def take(speaker: str, emotion: str) -> Recording:
        turns[speaker] += 1
        counts.update((emotion, (speaker, emotion)))
        recording = cells[speaker][emotion].pop()
        if not cells[speaker][emotion]:
            del cells[speaker][emotion]
        return recording

    def order(speaker: str, emotion: str) -> tuple[int, int, int]:
        return counts[speaker, emotion], counts[emotion], emotions.index(emotion)

    for emotion in emotions:
        speakers = (speaker for speaker in cells if emotion in cells[speaker])
        yield take(min(speakers, key=lambda speaker: (turns[speaker], ranks[speaker])), emotion)
    queue = [(turns[speaker], ranks[speaker], speaker) for speaker in cells]
    heapq.heapify(queue)
    while queue:
        *_, speaker = heapq.heappop(queue)
        if cells[speaker]:
            yield take(speaker, min(cells[speaker], key=functools.partial(order, speaker)))
            heapq.heappush(queue, (turns[speaker], ranks[speaker], speaker))
