"""RAVDESS: 24 actors speak two sentences in eight emotions, in two strengths (Livingstone and Russo, 2018)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from evc_jax.data.corpora.base import Corpus
from evc_jax.data.corpora.recording import Recording, audio_files

_NAME = re.compile(r"03-01-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)")
_EMOTIONS = dict(
    zip(
        ("01", "02", "03", "04", "05", "06", "07", "08"),
        ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"),
        strict=True,
    )
)
_TEXTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}


def _read(root: Path, prefix: str) -> Iterator[Recording]:
    # 03-01 is audio-only speech; the release's songs (03-02) and videos (01-, 02-) may lie beside it.
    for path in audio_files(root):
        match = _NAME.fullmatch(path.stem)
        if not match or match[1] not in _EMOTIONS:
            continue
        emotion, intensity, sentence, _, actor = match.groups()
        strength = "strong" if intensity == "02" else "normal"
        yield Recording(
            path=path,
            # The archive unpacks with or without a folder above the actors.
            utterance_id=f"Actor_{actor}/{path.stem}",
            speaker=f"{prefix}-{actor}",
            sex="male" if int(actor) % 2 else "female",
            emotion=_EMOTIONS[emotion],
            corpus_emotion=f"{_EMOTIONS[emotion]}-{strength}",
            text_id=f"{prefix}-{sentence}",
            text=_TEXTS.get(sentence, ""),
        )


CORPUS = Corpus(
    "ravdess",
    "CC BY-NC-SA 4.0",
    "expected Actor_NN/03-01-EE-II-SS-RR-AA.wav from Audio_Speech_Actors_01-24.zip, https://zenodo.org/records/1188976",
    _read,
)
