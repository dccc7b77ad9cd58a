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

from evc_jax.data.corpora.base import Corpus, unpacked
from evc_jax.data.corpora.recording import Recording, audio_files, emotion_named, sentence_id, sex_named
from evc_jax.data.corpora.tables import read_text

_NAME = re.compile(r"(Ses\d\d)[MF]_(impro|script)\w*_([MF])\w+")
_SUMMARY = re.compile(r"\[[\d.]+ - [\d.]+\]\t(\w+)\t(\w+)\t")
_TURN = re.compile(r"(\w+) \[[\d.]+-[\d.]+\]: ?(.*)")


def _read(root: Path, prefix: str) -> Iterator[Recording]:
    root = unpacked(root, "IEMOCAP_full_release", "IEMOCAP")
    for session in sorted(root.glob("Session[0-9]")):
        for folder in sorted(path for path in (session / "sentences" / "wav").glob("Ses*") if path.is_dir()):
            yield from _read_dialogue(folder, session / "dialog", prefix)


def _read_dialogue(folder: Path, dialog: Path, prefix: str) -> Iterator[Recording]:
    emotions = _found(_SUMMARY, CORPUS.require(dialog / "EmoEvaluation" / f"{folder.name}.txt"))
    transcript = dialog / "transcriptions" / f"{folder.name}.txt"
    texts = _found(_TURN, transcript) if transcript.is_file() else {}
    for path in audio_files(folder, 1, 1):
        match = _NAME.fullmatch(path.stem)
        if not match:
            continue
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


def _found(pattern: re.Pattern, file: Path) -> dict[str, str]:
    matches = map(pattern.match, read_text(file).splitlines())
    return {match[1]: match[2].strip() for match in matches if match}


CORPUS = Corpus(
    "iemocap",
    "for research, by agreement with the University of Southern California",
    "expected SessionN/sentences/wav/DIALOGUE/*.wav and SessionN/dialog/EmoEvaluation/DIALOGUE.txt of"
    " IEMOCAP_full_release, https://sail.usc.edu/iemocap/",
    _read,
)
