"""A map of voices: speaker embeddings in the plane in which the speakers of the training data differ most."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from evc_jax.conversion import voice_store
from evc_jax.conversion.requested_voice import ORIGINAL_VOICE, SEXES, embedding_text
from evc_jax.conversion.voices import Voices
from evc_jax.errors import ConfigError
from evc_jax.pretrained.bundle import Bundle

SPEAKER, DRAWN, NAMED, REFERENCE, OWN = "speaker", "drawn", "named", "reference", "own"
MAX_DRAWN = 64  # of each sex
_WHAT = {
    SPEAKER: "a speaker of the training data",
    DRAWN: "a new voice of VoiceGAN",
    NAMED: "a named voice",
    REFERENCE: "a recording of another voice, given in Convert",
    OWN: "the one above the tabs",
}


@dataclass(frozen=True, eq=False)
class MapVoice:
    """A point of the map.

    Attributes:
      kind: one of the five above.
      label: its name; no two voices of one kind share it.
      embedding: of unit length.
      sex: "male", "female" or "unknown".
    """

    kind: str
    label: str
    embedding: Float[np.ndarray, " 256"]
    sex: str = "unknown"

    @property
    def key(self) -> str:
        """By which the page names it."""
        return f"{self.kind}:{self.label}"

    @property
    def voice(self) -> str:
        """As an option takes it."""
        return ORIGINAL_VOICE if self.kind == OWN else embedding_text(self.embedding)

    @property
    def text(self) -> str:
        """What it is, in words."""
        known_sex = self.sex in SEXES and self.kind != DRAWN  # whose label has it already
        return ", ".join([self.label, _WHAT[self.kind], *([self.sex] if known_sex else [])])


@dataclass(frozen=True, eq=False)
class Plane:
    """The first two principal components of embeddings."""

    mean: Float[np.ndarray, " C"]
    axes: Float[np.ndarray, "2 C"]
    share: float  # of the embeddings' variance

    @classmethod
    def fit(cls, embeddings: Float[np.ndarray, "N C"]) -> Plane:
        """Of one embedding or more; the largest component of each axis is positive."""
        mean = embeddings.mean(axis=0)
        _, lengths, rows = np.linalg.svd(embeddings - mean)
        axes = rows[:2] * np.sign(rows[np.arange(2), np.abs(rows[:2]).argmax(axis=1)])[:, None]
        total = float((lengths**2).sum())
        return cls(mean, axes, float((lengths[:2] ** 2).sum()) / total if total else 1.0)

    def place(self, embeddings: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N 2"]:
        """Where embeddings lie."""
        return (embeddings - self.mean) @ self.axes.T


class VoiceMap:
    """What a bundle has for a map."""

    def __init__(self, bundle: Bundle, voices: Voices):
        """Reads the training speakers; raises BundleError where their file is damaged."""
        self._bundle, self._voices = bundle, voices
        stored = bundle.speakers
        self.can_draw = bundle.has("voicegan")
        self.speakers: list[MapVoice] = []
        if stored is not None:
            columns = zip(stored.names, stored.embeddings, stored.sexes, strict=True)
            self.speakers = [MapVoice(SPEAKER, *column) for column in columns]
        self._landmarks = self.speakers or (self.drawn(MAX_DRAWN, seed=0) if self.can_draw else [])
        self._plane = _plane_of(self._landmarks) if self._landmarks else None

    def drawn(self, count: int, seed: int) -> list[MapVoice]:
        """`count` voices of each sex; none where the bundle has no VoiceGAN. Voice i of a seed is always the same."""
        if not self.can_draw:
            return []
        found = []
        for sex in SEXES:
            # All of them, so that another count compiles nothing.
            embeddings = self._voices.sample(MAX_DRAWN, sex, seed)[: max(0, count)]
            found += [MapVoice(DRAWN, f"{sex} {i} of seed {seed}", each, sex) for i, each in enumerate(embeddings)]
        return found

    def named(self) -> list[MapVoice]:
        """The bundle's own voices and the user's; a file that cannot be read is left out, as Convert reports it."""
        found = {name: voice.embedding for name, voice in self._bundle.voices.items()}
        for name, file in voice_store.names().items():
            with contextlib.suppress(ConfigError):
                embedding = self._voices.resolve(str(file))
                if embedding is not None:
                    found.setdefault(name, embedding)
        return [MapVoice(NAMED, name, embedding) for name, embedding in found.items()]

    def points(self, voices: Iterable[MapVoice]) -> list[dict[str, Any]]:
        """The voices as the page's script takes them: the later ones lie on top."""
        shown = list(voices)
        if not shown:
            return []
        places = (self._plane or _plane_of(shown)).place(np.stack([voice.embedding for voice in shown]))
        return [
            {
                "key": voice.key,
                "kind": voice.kind,
                "sex": voice.sex,
                "text": voice.text,
                "x": round(float(x), 4),
                "y": round(float(y), 4),
            }
            for voice, (x, y) in zip(shown, places, strict=True)
        ]

    @property
    def sentence(self) -> str:
        """What the axes are, and what is missing."""
        lacks = "" if self.can_draw else " The bundle has no VoiceGAN, so no new voices can be drawn."
        if self._plane is None:
            return "The bundle has no training speakers to span the map; the voices here do." + lacks
        of = f"{len(self.speakers)} training speakers"
        if not self.speakers:
            of = f"{len(self._landmarks)} voices of VoiceGAN, as the bundle has no training speakers"
        share = f"{100 * self._plane.share:.0f} % of the variance"
        return f"Axes: the first two principal components of {of}, with {share}; the rest does not show.{lacks}"


def _plane_of(voices: list[MapVoice]) -> Plane:
    return Plane.fit(np.stack([voice.embedding for voice in voices]))
