"""CREMA-D: 91 actors speak twelve sentences in six emotions, some in three strengths (Cao et al., 2014).

The emotion is the one that was acted, from the file's name; the raters' labels are in tables that are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from evc_jax.data.corpora.base import Corpus, unpacked
from evc_jax.data.corpora.recording import Recording, audio_files, emotion_named, sex_named
from evc_jax.data.corpora.tables import read_csv

# One file of the release ends in _X instead of _XX.
_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_(LO|MD|HI|XX?)")
_TEXTS = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}


def _read(root: Path, prefix: str) -> Iterator[Recording]:
    root = unpacked(root, "CREMA-D", "CREMA-D-master")
    sexes = _sexes(CORPUS.require(root / "VideoDemographics.csv"))
    # AudioMP3 holds the same utterances.
    for path in audio_files(CORPUS.require(root / "AudioWAV", root / "AudioMP3"), 1, 1):
        match = _NAME.fullmatch(path.stem)
        if not match:
            continue
        actor, sentence, emotion, strength = match.groups()
        yield Recording(
            path=path,
            utterance_id=path.stem,
            speaker=f"{prefix}-{actor}",
            sex=sexes.get(actor, "unknown"),
            emotion=emotion_named(emotion),
            corpus_emotion=f"{emotion}-{strength.ljust(2, 'X')}",
            text_id=f"{prefix}-{sentence}",
            text=_TEXTS.get(sentence, ""),
        )


def _sexes(table: Path) -> dict[str, str]:
    return {row["ActorID"]: sex_named(row["Sex"]) for _, row in read_csv(table, ("ActorID", "Sex"), CORPUS.source)}


CORPUS = Corpus(
    "crema_d",
    "Open Database License 1.0",
    "expected VideoDemographics.csv and AudioWAV/AAAA_SSS_EEE_XX.wav from"
    " https://github.com/CheyneyComputerScience/CREMA-D, cloned with Git LFS",
    _read,
)
