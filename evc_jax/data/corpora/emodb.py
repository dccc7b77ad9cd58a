"""EmoDB: ten actors speak ten German sentences in seven emotions (Burkhardt et al., 2005)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from evc_jax.data.corpora.base import Corpus
from evc_jax.data.corpora.recording import Recording, audio_files

_NAME = re.compile(r"(\d\d)([ab]\d\d)([NFTWAEL])([a-z])")
_MEN = ("03", "10", "11", "12", "15")
_EMOTIONS = {
    "N": ("neutral", "neutral"),
    "F": ("happy", "Freude"),
    "T": ("sad", "Trauer"),
    "W": ("angry", "Ärger"),
    "A": ("fearful", "Angst"),
    "E": ("disgust", "Ekel"),
    "L": ("bored", "Langeweile"),
}
_TEXTS = {
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


def _read(root: Path, prefix: str) -> Iterator[Recording]:
    for path in audio_files(root):
        match = _NAME.fullmatch(path.stem)
        if not match:
            continue
        speaker, text, letter, _ = match.groups()
        emotion, corpus_emotion = _EMOTIONS[letter]
        yield Recording(
            path=path,
            utterance_id=path.stem,
            speaker=f"{prefix}-{speaker}",
            sex="male" if speaker in _MEN else "female",
            emotion=emotion,
            corpus_emotion=corpus_emotion,
            text_id=f"{prefix}-{text}",
            text=_TEXTS.get(text, ""),
        )


CORPUS = Corpus(
    "emodb",
    "free for research",
    "expected wav/SStttEv.wav from http://emodb.bilderbar.info/download/",
    _read,
)
