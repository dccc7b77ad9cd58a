"""Which recordings train, validate and test: by speaker where there are enough of them, always the same."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from evc_jax.data.corpora.recording import SPLITS, Recording
from evc_jax.data.corpora.tables import read_csv
from evc_jax.data.requirements import NEUTRAL
from evc_jax.errors import DataError
from evc_jax.files import printable

HELD_OUT_SHARE = 0.1
# With fewer speakers in all, or of one sex, none is held out.
MIN_SPEAKERS, MIN_OF_SEX = 5, 3
# Of each speaker, where utterances are held out: the prosody network validates on pairs.
MIN_UTTERANCES = 2
BY_SPEAKER, BY_UTTERANCE, BY_CORPUS, BY_FILE = "speaker", "utterance", "corpus", "file"
_EXPECTED = "expected the columns path or speaker, and split"


@dataclasses.dataclass(frozen=True)
class SplitRules:
    """How a corpus is split where it does not say so itself.

    Attributes:
      validation_share, test_share: of the speakers, or of each speaker's utterances; 0 for no such split.
      file: a CSV with the columns path or speaker, and split, which decides for all recordings instead.
    """

    validation_share: float = HELD_OUT_SHARE
    test_share: float = HELD_OUT_SHARE
    file: Path | None = None

    def __post_init__(self):
        shares = (self.validation_share, self.test_share)
        if not all(0 <= share < 1 for share in shares) or sum(shares) >= 1:
            raise DataError(
                f"The shares of validation and test are {shares[0]:g} and {shares[1]:g}; expected 0 or more, and less "
                "than 1 together."
            )

    @property
    def shares(self) -> dict[str, float]:
        """By split, in the order in which they are drawn."""
        return {"test": self.test_share, "validation": self.validation_share}


@dataclasses.dataclass(frozen=True)
class Splitting:
    """Recordings with their splits.

    Attributes:
      recordings: in the order in which they were given, each with one of `SPLITS`.
      by: what was held out: `BY_SPEAKER`, `BY_UTTERANCE`, or what decided, `BY_CORPUS`, `BY_FILE`.
      notes: sentences on what the user may not expect.
    """

    recordings: list[Recording]
    by: str
    notes: tuple[str, ...] = ()


def assign_splits(
    recordings: Sequence[Recording], rules: SplitRules | None = None, root: Path | None = None
) -> Splitting:
    """Gives every recording a split; splits that the corpus itself gives are kept.

    Validation and test, where the corpus lacks them, are drawn from the rest: per sex, the speakers whose names have
    the smallest SHA-256, at least one for each, if the sex has `MIN_OF_SEX` speakers or more. When no sex has as many,
    sexes are not distinguished.

    NOTE: Of fewer than `MIN_SPEAKERS` speakers none is held out; utterances of each are, as far as there are enough,
    their emotions in turns. Validation and test then measure new sentences, not new voices.

    Args:
      recordings: of a corpus.
      rules: the shares, or a file that decides; the usual ones if None.
      root: the corpus's folder, to which a file's paths are relative.

    Raises:
      DataError: the file of splits cannot be used.
    """
    rules = rules or SplitRules()
    if rules.file is not None:
        return _by_file(recordings, rules.file, root)
    given = {recording.split for recording in recordings if recording.split}
    sizes = {split: share for split, share in rules.shares.items() if split not in given and share}
    usual = SplitRules().shares
    kept = [split for split, share in rules.shares.items() if split in given and share != usual[split]]
    pool = [recording for recording in recordings if recording.split in (None, "train")]
    speakers = {recording.speaker for recording in pool}
    notes = [f"the {split} split is the corpus's own, whatever share was asked for." for split in kept]
    drawn: dict[str, str] = {}
    unit, by = "speaker", BY_SPEAKER
    if not sizes:
        by = BY_CORPUS if given else BY_SPEAKER
    elif len(speakers) >= MIN_SPEAKERS:
        drawn = _draw_speakers(pool, sizes)
    else:
        drawn, sentence = _draw_utterances(pool, sizes)
        unit, by = "utterance_id", BY_UTTERANCE
        notes.append(sentence)
    assigned = [
        recording
        if recording.split in ("validation", "test")
        else dataclasses.replace(recording, split=drawn.get(getattr(recording, unit), "train"))
        for recording in recordings
    ]
    return Splitting(assigned, by, tuple(notes))


def _draw_speakers(pool: Sequence[Recording], sizes: dict[str, float]) -> dict[str, str]:
    by_sex: dict[str, set[str]] = defaultdict(set)
    for recording in pool:
        by_sex[recording.sex].add(recording.speaker)
    groups = [speakers for speakers in by_sex.values() if len(speakers) >= MIN_OF_SEX]
    drawn: dict[str, str] = {}
    for speakers in groups or [set().union(*by_sex.values())]:
        names = iter(sorted(speakers, key=sha256_rank))
        for split, count in _counts(len(speakers), sizes, 1).items():
            drawn |= dict.fromkeys(itertools.islice(names, count), split)
    return drawn


def _counts(members: int, sizes: dict[str, float], least: int) -> dict[str, int]:
    """How many of so many are held out for each split; `least` where that leaves half of them, or else 1, if any."""
    counts = {split: max(least, round(share * members)) for split, share in sizes.items()}
    if sum(counts.values()) <= max(0.5, sum(sizes.values())) * members + 1e-9:
        return counts
    return dict.fromkeys(sizes, 1) if members > len(sizes) else {}


def _draw_utterances(pool: Sequence[Recording], sizes: dict[str, float]) -> tuple[dict[str, str], str]:
    """The splits of the utterances that are held out, and a sentence on it."""
    by_speaker: dict[str, list[Recording]] = defaultdict(list)
    for recording in pool:
        by_speaker[recording.speaker].append(recording)
    chosen = [_held_out(members, sizes) for members in by_speaker.values()]
    who, whose = f"{len(chosen)} speakers are", " of each"
    if len(chosen) == 1 or not any(chosen):  # all of them have hardly anything
        chosen, whose = [_held_out(pool, sizes)], ""
    counts = {split: [Counter(each.values())[split] for each in chosen] for split in sizes}
    parts = [f"{_utterances(counts[split], whose)} the {split} split" for split in SPLITS if any(counts.get(split, ()))]
    drawn = {name: split for each in chosen for name, split in each.items()}
    who = "1 speaker is" if len(by_speaker) == 1 else who
    outcome = " and ".join(parts) or "there are too few utterances, too: all train"
    return drawn, f"{who} too few to hold some out: {outcome}."


def _held_out(members: Sequence[Recording], sizes: dict[str, float]) -> dict[str, str]:
    """The splits of what is held out of a speaker's recordings: in each neutral ones first, then emotions in turns."""
    by_emotion: dict[str, list[Recording]] = defaultdict(list)
    for recording in sorted(members, key=lambda recording: sha256_rank(recording.utterance_id), reverse=True):
        by_emotion[recording.emotion].append(recording)
    held_out: dict[str, str] = {}
    before: Counter[str] = Counter()
    for split, count in _counts(len(members), sizes, MIN_UTTERANCES).items():
        here: Counter[str] = Counter()
        for _ in range(count):
            emotion = min(
                (name for name, left in by_emotion.items() if left),
                key=lambda name: (here[name], name != NEUTRAL, before[name], sha256_rank(name)),
            )
            here[emotion] += 1
            held_out[by_emotion[emotion].pop().utterance_id] = split
        before += here
    return held_out


def _utterances(counts: Sequence[int], whose: str) -> str:
    low, high = min(counts), max(counts)
    if low == high == 1:
        return f"1 utterance{whose} is"
    return f"{low if low == high else f'{low} to {high}'} utterances{whose} are"


def _by_file(recordings: Sequence[Recording], file: Path, root: Path | None) -> Splitting:
    """The splits that a file gives; what it does not name trains."""
    if not file.is_file():
        raise DataError(f"There is no file {printable(file)}; give a CSV with the columns path or speaker, and split.")
    rows = list(read_csv(file, ("split",), _EXPECTED))
    if not rows:
        raise DataError(f"{printable(file)} has no rows; {_EXPECTED}.")
    named = [column for column in ("path", "speaker") if column in rows[0][1]]
    if len(named) != 1:
        there = "both path and speaker" if named else "neither path nor speaker"
        raise DataError(f"{printable(file)}, line 1: there is {there}; {_EXPECTED}.")
    column = named[0]
    known = _names(recordings, column, root)
    splits: dict[str, tuple[str, int]] = {}
    for line, row in rows:
        where = f"{printable(file)}, line {line}"
        if row["split"] not in SPLITS:
            raise DataError(f"{where}: the split is {row['split']!r}; expected one of {', '.join(SPLITS)}.")
        name = known.get(row[column])
        if name is None:
            one = min(known, key=len)
            raise DataError(f"{where}: the corpus has no {column} {row[column]!r}; it has, for one, {one!r}.")
        split, before = splits.setdefault(name, (row["split"], line))
        if before != line:
            raise DataError(f"{where}: {row[column]!r} is in line {before} already, as {split}; remove one of them.")
    key = "speaker" if column == "speaker" else "utterance_id"
    assigned = [
        dataclasses.replace(recording, split=splits.get(getattr(recording, key), ("train", 0))[0])
        for recording in recordings
    ]
    rest = sum(getattr(recording, key) not in splits for recording in recordings)
    notes = (f"{rest} of {len(recordings)} recordings are not in {printable(file)}: they train.",) if rest else ()
    return Splitting(assigned, BY_FILE, notes)


def _names(recordings: Sequence[Recording], column: str, root: Path | None) -> dict[str, str]:
    """What a row may call a recording or speaker, by which the splits are kept."""
    known: dict[str, str] = {}
    for recording in recordings:
        if column == "speaker":
            # Without the dataset's name before it, which is also that of the corpus's folder or column.
            known[recording.speaker.partition("-")[2]] = recording.speaker
            known[recording.speaker] = recording.speaker
        else:
            path = Path(recording.path)
            known[recording.utterance_id] = known[str(path)] = recording.utterance_id
            if root is not None and path.is_relative_to(root):
                known[path.relative_to(root).as_posix()] = recording.utterance_id
    return known


def sha256_rank(name: str) -> str:
    """Orders names as if at random, the same on every machine."""
    return hashlib.sha256(name.encode()).hexdigest()
