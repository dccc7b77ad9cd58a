"""ESD: ten speakers of Mandarin and ten of English speak 350 sentences in five emotions (Zhou et al., 2022).

A speaker's 1,750 utterances are numbered through, 350 for each emotion in the same order of sentences. The release
holds them in `0001/Angry/{train,evaluation,test}/`; copies without that last level have no split of their own.

NOTE: ESD's own split is by sentence: all speakers are in all parts, so it measures new sentences, not new voices.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

from evc_jax.data.corpora.recording import Corpus, Recording, emotion_named, named_files, unpacked
from evc_jax.data.corpora.tables import matching_lines, read_text

_SENTENCES = 350
_LAST_MANDARIN_SPEAKER = 10
_MEN = (4, 5, 6, 8, 10, 11, 12, 13, 14, 20)  # as the release's ReadMe.txt has it
_SPLITS = {"train": "train", "evaluation": "validation", "test": "test"}
_NAME = re.compile(r"\d{4}_(\d{6})")
_LINE = re.compile(r"(\d{4}_\d{6})\s+(.*)")
_EMOTION_WORDS = ("neutral", "angry", "happy", "sad", "surprise", "中立", "生气", "快乐", "伤心", "惊喜")
_IDEOGRAPH = re.compile("[\u3400-\u9fff]")


def _read(root: Path, prefix: str) -> Iterator[Recording]:
    root = unpacked(root, "Emotional Speech Dataset (ESD)", "ESD")
    root = unpacked(root, "Emotion Speech Dataset")
    for folder in sorted(path for path in root.glob("[0-9][0-9][0-9][0-9]") if path.is_dir()):
        yield from _read_speaker(folder, prefix)


def _read_speaker(folder: Path, prefix: str) -> Iterator[Recording]:
    speaker = int(folder.name)
    language = "zh" if speaker <= _LAST_MANDARIN_SPEAKER else "en"
    texts = _texts(CORPUS.require(folder / f"{folder.name}.txt"), language)
    for path, match in named_files(_NAME, folder, 2):
        emotion, *parts = path.relative_to(folder).parts[:-1]
        yield Recording(
            path=path,
            utterance_id=f"{folder.name}/{path.stem}",
            speaker=f"{prefix}-{folder.name}",
            sex="male" if speaker in _MEN else "female",
            emotion=emotion_named(emotion),
            corpus_emotion=emotion,
            text_id=f"{prefix}-{language}-{(int(match[1]) - 1) % _SENTENCES + 1:03d}",
            text=texts.get(path.stem, ""),
            split=_SPLITS.get(parts[0]) if parts else None,
        )


def _texts(table: Path, language: str) -> dict[str, str]:
    lines = matching_lines(_LINE, read_text(table, functools.partial(_decoded, language)))
    return {name: _without_emotion(text) for name, text in lines.items()}


def _decoded(language: str, data: bytes) -> str:
    # Half the files are UTF-16, the others UTF-8, GB 2312 (one of an English speaker too) or Windows Latin.
    text = data.decode("gb18030", errors="replace")
    # Latin quotation marks read as GB join with the next letter to an ideograph.
    if language == "zh" or not ("\ufffd" in text or _IDEOGRAPH.search(text)):
        return text
    return data.decode("cp1252", errors="replace")


def _without_emotion(text: str) -> str:
    # Some lines have a blank where others have the tab before the emotion.
    if "\t" in text:
        return text.split("\t")[0].strip()
    sentence, _, last = text.rpartition(" ")
    return sentence.strip() if last.lower() in _EMOTION_WORDS else text


CORPUS = Corpus(
    "esd",
    "for research, by agreement with the National University of Singapore",
    "expected NNNN/NNNN.txt and NNNN/Angry/NNNN_NNNNNN.wav, with or without train, evaluation and test below, from"
    " https://github.com/HLTSingapore/Emotional-Speech-Data",
    _read,
)
