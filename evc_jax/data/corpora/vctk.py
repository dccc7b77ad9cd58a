"""VCTK: 110 speakers of English read about 400 sentences each (Yamagishi, Veaux and MacDonald; 0.92 of 2019).

Release 0.92 holds each utterance twice, from an omnidirectional DPA 4035 (`mic1`) and a Sennheiser MKH 800 (`mic2`);
0.80 holds the first one only. p280 and p315 have no `mic2`, p315 has no text, and single files of others are missing.

NOTE: An utterance is read once: from `mic2`, as torchaudio does by default, and from `mic1` where that is missing, so
that no speaker is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from evc_jax.data.corpora.recording import Corpus, Recording, named_files, sentence_id, sex_named, unpacked
from evc_jax.data.corpora.tables import optional_text, read_text

_NAME = re.compile(r"((?:p|s)\d+)_(\d+)(?:_mic[12])?")


def _read(root: Path, prefix: str) -> Iterator[Recording]:
    root = unpacked(root, "VCTK-Corpus-0.92", "VCTK-Corpus")
    sexes = _sexes(CORPUS.require(root / "speaker-info.txt"))
    folder = CORPUS.require(root / "wav48_silence_trimmed", root / "wav48")
    # mic2 is the last of an utterance's files.
    utterances = {match.groups(): path for path, match in named_files(_NAME, folder, 2, 2)}
    for (speaker, number), path in utterances.items():
        text = optional_text(root / "txt" / speaker / f"{speaker}_{number}.txt")
        yield Recording(
            path=path,
            utterance_id=f"{speaker}/{speaker}_{number}",
            speaker=f"{prefix}-{speaker}",
            sex=sexes.get(speaker, "unknown"),
            # The numbers agree for the first sentences only; later ones are each speaker's own selection.
            text_id=sentence_id(prefix, text),
            text=text,
        )


def _sexes(table: Path) -> dict[str, str]:
    # Columns are parted by any number of blanks, regions too; 0.80 writes its ids without the leading p.
    rows = (line.split() for line in read_text(table).splitlines())
    return {
        f"p{row[0]}" if row[0].isdigit() else row[0]: sex_named(row[2])
        for row in rows
        if len(row) > 2 and row[0] != "ID"
    }


CORPUS = Corpus(
    "vctk",
    "CC BY 4.0",
    "expected speaker-info.txt, txt/ and wav48_silence_trimmed/pNNN/pNNN_NNN_mic2.flac from VCTK-Corpus-0.92.zip,"
    " https://datashare.ed.ac.uk/handle/10283/3443",
    _read,
)
