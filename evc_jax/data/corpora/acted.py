"""Corpora of acted sentences that file names describe in full: RAVDESS, EmoDB and CREMA-D.

RAVDESS: 24 actors speak two sentences in eight emotions, in two strengths (Livingstone and Russo, 2018).
EmoDB: ten actors speak ten German sentences in seven emotions (Burkhardt et al., 2005).
CREMA-D: 91 actors speak twelve sentences in six emotions, some in three strengths (Cao et al., 2014). The emotion is
the one that was acted, from the file's name; the raters' labels are in tables that are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from evc_jax.data.corpora.recording import Corpus, Recording, emotion_named, named_files, sex_named, unpacked
from evc_jax.data.corpora.tables import read_csv

# 03-01 is audio-only speech; the release's songs (03-02) and videos (01-, 02-) may lie beside it.
_RAVDESS_NAME = re.compile(r"03-01-0([1-8])-(\d\d)-(\d\d)-(\d\d)-(\d\d)")
_RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
_RAVDESS_TEXTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}

_EMODB_NAME = re.compile(r"(\d\d)([ab]\d\d)([NFTWAEL])[a-z]")
_EMODB_MEN = ("03", "10", "11", "12", "15")
_EMODB_EMOTIONS = {
    "N": ("neutral", "neutral"),
    "F": ("happy", "Freude"),
    "T": ("sad", "Trauer"),
    "W": ("angry", "Ärger"),
    "A": ("fearful", "Angst"),
    "E": ("disgust", "Ekel"),
    "L": ("bored", "Langeweile"),
}
_EMODB_TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}

# One file of the release ends in _X instead of _XX.
_CREMA_D_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_(LO|MD|HI|XX?)")
_CREMA_D_TEXTS = {
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


def _read_ravdess(root: Path, prefix: str) -> Iterator[Recording]:
    for path, match in named_files(_RAVDESS_NAME, root):
        number, intensity, sentence, _, actor = match.groups()
        emotion = _RAVDESS_EMOTIONS[int(number) - 1]
        yield Recording(
            path=path,
            # The archive unpacks with or without a folder above the actors.
            utterance_id=f"Actor_{actor}/{path.stem}",
            speaker=f"{prefix}-{actor}",
            sex="male" if int(actor) % 2 else "female",
            emotion=emotion,
            corpus_emotion=f"{emotion}-{'strong' if intensity == '02' else 'normal'}",
            text_id=f"{prefix}-{sentence}",
            text=_RAVDESS_TEXTS.get(sentence, ""),
        )


def _read_emodb(root: Path, prefix: str) -> Iterator[Recording]:
    for path, match in named_files(_EMODB_NAME, root):
        speaker, text, letter = match.groups()
        emotion, corpus_emotion = _EMODB_EMOTIONS[letter]
        yield Recording(
            path=path,
            utterance_id=path.stem,
            speaker=f"{prefix}-{speaker}",
            sex="male" if speaker in _EMODB_MEN else "female",
            emotion=emotion,
            corpus_emotion=corpus_emotion,
            text_id=f"{prefix}-{text}",
            text=_EMODB_TEXTS.get(text, ""),
        )


def _read_crema_d(root: Path, prefix: str) -> Iterator[Recording]:
    root = unpacked(root, "CREMA-D", "CREMA-D-master")
    rows = read_csv(CREMA_D.require(root / "VideoDemographics.csv"), ("ActorID", "Sex"), CREMA_D.source)
    sexes = {row["ActorID"]: sex_named(row["Sex"]) for _, row in rows}
    # AudioMP3 holds the same utterances.
    for path, match in named_files(_CREMA_D_NAME, CREMA_D.require(root / "AudioWAV", root / "AudioMP3"), 1, 1):
        actor, sentence, emotion, strength = match.groups()
        yield Recording(
            path=path,
            utterance_id=path.stem,
            speaker=f"{prefix}-{actor}",
            sex=sexes.get(actor, "unknown"),
            emotion=emotion_named(emotion),
            corpus_emotion=f"{emotion}-{strength.ljust(2, 'X')}",
            text_id=f"{prefix}-{sentence}",
            text=_CREMA_D_TEXTS.get(sentence, ""),
        )


RAVDESS = Corpus(
    "ravdess",
    "CC BY-NC-SA 4.0",
    "expected Actor_NN/03-01-EE-II-SS-RR-AA.wav from Audio_Speech_Actors_01-24.zip, https://zenodo.org/records/1188976",
    _read_ravdess,
)
EMODB = Corpus(
    "emodb",
    "free for research",
    "expected wav/SStttEv.wav from http://emodb.bilderbar.info/download/",
    _read_emodb,
)
CREMA_D = Corpus(
    "crema_d",
    "Open Database License 1.0",
    "expected VideoDemographics.csv and AudioWAV/AAAA_SSS_EEE_XX.wav from"
    " https://github.com/CheyneyComputerScience/CREMA-D, cloned with Git LFS",
    _read_crema_d,
)
