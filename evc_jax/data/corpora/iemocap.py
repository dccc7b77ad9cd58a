"""IEMOCAP: ten actors in five sessions of two, in scripted and improvised dialogues (Busso et al., 2008).

An utterance's emotion is the majority of its evaluators, given in the summary line of its dialogue's evaluation file;
`xxx` means that they did not agree and `oth` that they chose none of the listed emotions: both are "unknown" here. The
lines of single evaluators (`C-E2:`, `A-F1:`) are left out.

NOTE: A dialogue's name gives the actor who wore the markers (`Ses01F`), not the speaker; that is the letter of the
utterance's last part (`Ses01F_impro01_M003` is the man of session 1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from evc_jax.data.corpora.recording import (
    Corpus,
    Recording,
    emotion_named,
    named_files,
    sentence_id,
    sex_named,
    unpacked,
)
from evc_jax.data.corpora.tables import matching_lines, optional_text, read_text

_NAME = re.compile(r"(Ses\d\d)[MF]_(impro|script)\w*_([MF])\w+")
_SUMMARY = re.compile(r"\[[\d.]+ - [\d.]+\]\t(\w+)\t(\w+)\t")
_TURN = re.compile(r"(\w+) \[[\d.]+-[\d.]+\]: ?(.*)")


def _read(root: Path, prefix: str) -> Iterator[Recording]:
    root = unpacked(root, "IEMOCAP_full_release", "IEMOCAP")
    for session in sorted(root.glob("Session[0-9]")):
        for folder in sorted(path for path in (session / "sentences" / "wav").glob("Ses*") if path.is_dir()):
            yield from _read_dialogue(folder, session / "dialog", prefix)


def _read_dialogue(folder: Path, dialog: Path, prefix: str) -> Iterator[Recording]:
    name = f"{folder.name}.txt"
    emotions = matching_lines(_SUMMARY, read_text(CORPUS.require(dialog / "EmoEvaluation" / name)))
    texts = matching_lines(_TURN, optional_text(dialog / "transcriptions" / name))
    for path, match in named_files(_NAME, folder, 1, 1):
        session, kind, speaker = match.groups()
        label, text = emotions.get(path.stem, ""), texts.get(path.stem, "")
        yield Recording(
            path=path,
            utterance_id=path.stem,
            speaker=f"{prefix}-{session}{speaker}",
            sex=sex_named(speaker),
            emotion=emotion_named(label),
            corpus_emotion=label,
            # The same scripts are played in every session; improvised sentences differ.
            text_id=sentence_id(prefix, text) if kind == "script" else f"{prefix}-{path.stem}",
            text=text,
        )


CORPUS = Corpus(
    "iemocap",
    "for research, by agreement with the University of Southern California",
    "expected SessionN/sentences/wav/DIALOGUE/*.wav and SessionN/dialog/EmoEvaluation/DIALOGUE.txt of"
    " IEMOCAP_full_release, https://sail.usc.edu/iemocap/",
    _read,
)
