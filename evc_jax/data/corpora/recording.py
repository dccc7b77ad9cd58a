"""What every corpus reader is and produces, and what the readers share: one vocabulary, finding files, unique ids."""

from __future__ import annotations

import dataclasses
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evc_jax.errors import DataError
from evc_jax.files import find_recordings, printable, valid_text

if TYPE_CHECKING:  # its import would slow the command's help down
    from etils import epath

# The words for emotions, each with the names that people give it in folders and CSV columns besides.
_EMOTION_SYNONYMS = {
    "neutral": ("neu",),
    "calm": ("calmness",),
    "happy": ("amused", "happiness", "hap", "joy"),
    "sad": ("sadness",),
    "angry": ("anger", "ang"),
    "fearful": ("fear", "fea"),
    "disgust": ("disgusted", "dis"),
    "surprised": ("surprise", "sur"),
    "bored": ("boredom",),
    "contempt": (),
    "excited": ("excitement", "exc"),
    "frustrated": ("frustration", "fru"),
    "unknown": (),
}
_SEX_SYNONYMS = {
    "male": ("m", "man", "male_masculine"),
    "female": ("f", "woman", "female_feminine"),
    "unknown": (),
}
# Intensities, by the word behind the last hyphen of `corpus_emotion` (RAVDESS; CREMA-D), and how much of the strongest
# each counts as.
INTENSITIES = {"normal": 0.5, "strong": 1.0, "LO": 0.35, "MD": 0.7, "HI": 1.0}
EMOTIONS, SEXES = tuple(_EMOTION_SYNONYMS), tuple(_SEX_SYNONYMS)
SPLITS = ("train", "validation", "test")

# Fields that make recordings belong together when they are equal.
_COMPARED = ("speaker", "corpus_emotion", "text_id")


# Slots, because a corpus can have millions of these.
@dataclasses.dataclass(frozen=True, slots=True)
class Recording:
    """One utterance of a corpus, before anything of it is read.

    Attributes:
      path: the audio file, in the plan of a preparation also one in a bucket.
      utterance_id: unique within the dataset, independent of where the corpus lies.
      speaker: unique over all corpora (prefixed with the dataset's name).
      sex: one of `SEXES`.
      emotion: one of `EMOTIONS`.
      corpus_emotion: the corpus's own label, "" where it has none.
      text_id: equal for recordings of the same sentence, prefixed like `speaker`.
      text: the sentence, "" where it is not known.
      split: one of `SPLITS` where the corpus or `assign_splits` gives one.
      stamp: in the plan of a preparation, changes when the file does.
    """

    path: Path | epath.Path
    utterance_id: str
    speaker: str
    sex: str = "unknown"
    emotion: str = "unknown"
    corpus_emotion: str = ""
    text_id: str = ""
    text: str = ""
    split: str | None = None
    stamp: str = ""


@dataclasses.dataclass(frozen=True)
class Corpus:
    """The description of a corpus layout.

    Attributes:
      name: on the command line and in `CORPORA`.
      licence: of the recordings, as its publisher states it.
      source: the expected files, and where they are published; part of error messages.
      read: (root, prefix of speaker and text ids) -> recordings in any order.
    """

    name: str
    licence: str
    source: str
    read: Callable[[Path, str], Iterator[Recording]]

    def require(self, *candidates: Path) -> Path:
        """The first of the candidates that exists; raises DataError if none does."""
        for path in candidates:
            if path.exists():
                return path
        others = "".join(f" (or {path.name})" for path in candidates[1:])
        raise DataError(
            f"{printable(candidates[0])}{others} is missing, without which {self.name} cannot be read; {self.source}."
        )


def emotion_named(label: str) -> str:
    """The word of `EMOTIONS` for a corpus's label; "unknown" when there is none."""
    return _named(label, _EMOTION_SYNONYMS)


def sex_named(label: str) -> str:
    """The word of `SEXES` for a label such as `F` or `Male`; "unknown" when there is none."""
    return _named(label, _SEX_SYNONYMS)


def _named(label: str, synonyms: dict[str, tuple[str, ...]]) -> str:
    label = label.strip().lower()
    return next((word for word, others in synonyms.items() if label == word or label in others), "unknown")


def sentence_id(prefix: str, text: str) -> str:
    """A text id by the words alone, where the corpus numbers no sentences; "" when the text is not known."""
    # By category, as letters of many scripts carry marks that no pattern for words includes.
    spoken = (" " if unicodedata.category(char)[0] in "PSZC" else char for char in text.casefold())
    words = " ".join("".join(spoken).split())
    return f"{prefix}-{words}" if words else ""


def unpacked(root: Path, *names: str) -> Path:
    """The folder of an archive: one of `names` in `root` if it lies there, else `root` itself."""
    return next((root / name for name in names if (root / name).is_dir()), root)


def named_files(
    pattern: re.Pattern[str], folder: Path, depth: int = 1, max_depth: int | None = None
) -> Iterator[tuple[Path, re.Match[str]]]:
    """The recordings of `find_recordings` whose names without suffix match the whole pattern, with the matches."""
    for path in find_recordings(folder, depth, max_depth).files:
        if match := pattern.fullmatch(path.stem):
            yield path, match


def unique_ids(names: Iterable[Path]) -> list[str]:
    """Names of files without suffix, with forward slashes; with the suffix where they differ in nothing else."""
    whole = [name.as_posix().lstrip("/") for name in names]
    stems = [os.path.splitext(name)[0] for name in whole]
    counts = Counter(stems)
    return [stem if counts[stem] == 1 else name for stem, name in zip(stems, whole, strict=True)]


def require_unique(recordings: Iterable[Recording], corpus: str) -> list[Recording]:
    """The recordings ordered by utterance id, their names as text that can be stored; DataError for equal ids."""
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
    changed: dict[str, Any] = {
        key: text for key, name in names.items() if (text := valid_text(name)) != getattr(recording, key)
    }
    return dataclasses.replace(recording, **changed) if changed else recording
