"""The cosine of two speaker embeddings, in plain words: one speaker or two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# Share of pairs of recordings whose cosine is at least 0.30, 0.35, ..., 1.00, measured with the voice encoder:
# - read: 80 recordings of the 8 LibriSpeech speakers of the test split, 360 pairs of one speaker, 2,800 of two;
# - acted: 1,320 recordings of 22 RAVDESS actors in 8 emotions, 38,940 pairs of one actor, 831,600 of two.
_GRID = np.linspace(0.3, 1.0, 15)
_READ_SAME = (1, 1, 1, 1, 1, 1, 1, 1, 1, 0.964, 0.889, 0.675, 0.322, 0.042, 0)
_READ_DIFFERENT = (1, 0.991, 0.963, 0.818, 0.523, 0.270, 0.113, 0.033, 0.005, 0, 0, 0, 0, 0, 0)
_ACTED_SAME = (1, 1, 0.999, 0.992, 0.968, 0.914, 0.820, 0.680, 0.498, 0.303, 0.135, 0.038, 0.005, 0, 0)
_ACTED_DIFFERENT = (0.997, 0.982, 0.924, 0.787, 0.581, 0.370, 0.205, 0.094, 0.033, 0.008, 0.001, 0, 0, 0, 0)

# From the highest: the lowest cosine that the words hold for.
_MEANINGS = (
    (0.8, "very likely the same speaker"),
    (0.72, "probably the same speaker"),
    (0.6, "undecided: the same speaker in another mood or another room, or two similar voices"),
    (0.5, "probably different speakers"),
    (-1.0, "very likely different speakers"),
)


@dataclass(frozen=True)
class Similarity:
    """Two voices compared.

    Attributes:
      cosine: of their embeddings; 1 is the same, embeddings are never below 0.
      verdict: the cosine in words.
      read_same, read_different: share of pairs of read recordings by one speaker, and by two, that are as similar.
      acted_same, acted_different: the same for acted emotions.
    """

    cosine: float
    verdict: str
    read_same: float
    read_different: float
    acted_same: float
    acted_different: float

    def __str__(self) -> str:
        return (
            f"{self.cosine:.3f}: {self.verdict}.\n"
            f"As similar or more so are {_percent(self.read_same)} of pairs of recordings by one speaker and "
            f"{_percent(self.read_different)} by two speakers when they read (LibriSpeech), "
            f"{_percent(self.acted_same)} and {_percent(self.acted_different)} when they act emotions (RAVDESS)."
        )


def compare(a: Float[np.ndarray, " C"], b: Float[np.ndarray, " C"]) -> Similarity:
    """Compares two speaker embeddings of unit length."""
    cosine = float(np.clip(a.astype(np.float64) @ b, -1, 1))
    verdict = next(words for lowest, words in _MEANINGS if cosine >= lowest)
    tables = (_READ_SAME, _READ_DIFFERENT, _ACTED_SAME, _ACTED_DIFFERENT)
    return Similarity(cosine, verdict, *(round(float(np.interp(cosine, _GRID, table)), 4) for table in tables))


def _percent(share: float) -> str:
    if 0 < share < 0.01:
        return "less than 1 %"
    return f"{100 * share:.0f} %"
