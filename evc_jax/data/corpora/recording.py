"""What every corpus reader produces, and what the readers share: one vocabulary, finding files, unique ids."""

from __future__ import annotations

import dataclasses
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from evc_jax.errors import DataError
from evc_jax.files import find_recordings, printable, valid_text

EMOTIONS = (
    "neutral",
    "calm",
    "happy",
    "sad",
    "angry",
    "fearful",
    "disgust",
    "surprised",
    "bored",
    "contempt",
    "excited",
    "frustrated",
    "unknown",
)
SEXES = ("male", "female", "unknown")
SPLITS = ("train", "validation", "test")

# Fields that make recordings belong together when they are equal.
_COMPARED = ("speaker", "corpus_emotion", "text_id")

# Names that people give to folders and CSV columns, besides the vocabulary itself.
_EMOTION_SYNONYMS = {
    "anger": "angry",
    "ang": "angry",
    "amused": "happy",
    "boredom": "bored",
    "calmness": "calm",
    "dis": "disgust",
    "disgusted": "disgust",
    "excitement": "excited",
    "exc": "excited",
    "fear": "fearful",
    "fea": "fearful",
    "frustration": "frustrated",
    "fru": "frustrated",
    "happiness": "happy",
    "hap": "happy",
    "joy": "happy",
    "neu": "neutral",
    "sadness": "sad",
    "surprise": "surprised",
    "sur": "surprised",
    "": "unknown",
}
_SEX_SYNONYMS = {
    "m": "male",
    "man": "male",
    "male_masculine": "male",
    "f": "female",
    "woman": "female",
    "female_feminine": "female",
    "": "unknown",
}


# Slots, because a corpus can have millions of these.
@dataclasses.dataclass(frozen=True, slots=True)
class Recording:
    """One utterance of a corpus, before anything of it is read.

    Attributes:
      path: the audio file.
      utterance_id: unique within the dataset, independent of where the corpus lies.
      speaker: unique over all corpora (prefixed with the dataset's name).
      sex: one of `SEXES`.
      emotion: one of `EMOTIONS`.
      corpus_emotion: the corpus's own label, "" where it has none.
      text_id: equal for recordings of the same sentence, prefixed like `speaker`.
      text: the sentence, "" where it is not known.
      split: one of `SPLITS` where the corpus or `assign_splits` gives one.
    """

    path: Path
    utterance_id: str
    speaker: str
    sex: str = "unknown"
    emotion: str = "unknown"
    corpus_emotion: str = ""
    text_id: str = ""
    text: str = ""
    split: str | None = None


def emotion_named(label: str) -> str:
    """The word of `EMOTIONS` for a corpus's label; "unknown" when there is none."""
    label = label.strip().lower()
    return label if label in EMOTIONS else _EMOTION_SYNONYMS.get(label, "unknown")


def sex_named(label: str) -> str:
    """The word of `SEXES` for a label such as `F` or `Male`; "unknown" when there is none."""
    label = label.strip().lower()
    return label if label in SEXES else _SEX_SYNONYMS.get(label, "unknown")


def sentence_id(prefix: str, text: str) -> str:
    """A text id by the words alone, where the corpus numbers no sentences; "" when the text is not known."""
    # By category, as letters of many scripts carry marks that no pattern for words includes.
    spoken = (" " if unicodedata.category(char)[0] in "PSZC" else char for char in text.casefold())
    words = " ".join("".join(spoken).split())
    return f"{prefix}-{words}" if words else ""


def audio_files(folder: Path, depth: int = 1, max_depth: int | None = None) -> tuple[Path, ...]:
    """The recordings under `folder`, in an order that does not depend on the file system; see `find_recordings`."""
    return find_recordings(folder, depth, max_depth).files


def utterance_id(path: Path, root: Path) -> str:
    """The file's place inside its corpus, without suffix, with forward slashes."""
    return path.relative_to(root).with_suffix("").as_posix()


def unique_ids(names: Iterable[Path]) -> list[str]:
    """Names of files without suffix, with forward slashes; with the suffix where they differ in nothing else."""
    whole = [name.as_posix().lstrip("/") for name in names]
    stems = [os.path.splitext(name)[0] for name in whole]
    counts = Counter(stems)
    return [stem if counts[stem] == 1 else name for stem, name in zip(stems, whole, strict=True)]


def require_unique(recordings: Iterable[Recording], corpus: str) -> list[Recording]:
    """The recordings as a list ordered by utterance id, their names as text that can be stored.

    Raises:
      DataError: two files differ in nothing but their suffix.
    """
    by_id: dict[str, Recording] = {}
    for recording in map(_storable, recordings):
        twin = by_id.setdefault(recording.utterance_id, recording)
        if twin is not recording:
            raise DataError(
                f"{corpus} holds the same utterance twice, {printable(twin.path)} and {printable(recording.path)}; "
                "remove one of them."
            )
    return [by_id[key] for key in sorted(by_id)]


def _storable(recording: Recording) -> Recording:
    """The recording with names that are UTF-8, and that are equal where only their Unicode normalization differs."""
    names = {name: unicodedata.normalize("NFC", getattr(recording, name)) for name in _COMPARED}
    names |= {"utterance_id": recording.utterance_id, "text": recording.text}
    changed = {key: text for key, name in names.items() if (text := valid_text(name)) != getattr(recording, key)}
    return dataclasses.replace(recording, **changed) if changed else recording
