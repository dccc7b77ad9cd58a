"""The emotion that a conversion is to have: a point in the simplex of emotions times a strength, over time.

A single emotion is a corner of the simplex, and a constant. A track is a list of spans; where none is the recording
stays as it is, and where spans overlap they are averaged. Times are seconds of the source. Imports nothing slow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evc_jax.errors import ConfigError

MAX_STRENGTH = 3.0  # the decoder was trained on no codes further out
# Programs round the times that they write.
TOLERANCE_S = 0.1

Mixture = Mapping[str, float]


@dataclass(frozen=True)
class Curve:
    """A number that changes over time: straight lines between points, and constant outside of them.

    Raises:
      ConfigError: no points, times that do not rise, or numbers that are not finite.
    """

    times_s: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self):
        if not self.times_s:
            raise ConfigError("A curve has no points; give TIME:VALUE,TIME:VALUE, as in 0:0,1.5:1.")
        if not all(map(math.isfinite, (*self.times_s, *self.values))):
            raise ConfigError("A curve has a time or a value that is no finite number; give TIME:VALUE,TIME:VALUE.")
        for before, after in zip(self.times_s, self.times_s[1:]):
            if after <= before:
                raise ConfigError(f"A curve goes from {before:g} s to {after:g} s; give its points in order of time.")

    @classmethod
    def parse(cls, value: str | Sequence[Sequence[float]]) -> Curve:
        """Reads "0:0,1.5:1", or pairs of a time in seconds and a value."""
        try:
            pairs = [part.split(":") for part in value.split(",")] if isinstance(value, str) else value
            points = [(float(time_s), float(number)) for time_s, number in pairs]
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigError(
                f"The curve {str(value)[:40]!r} cannot be read; give TIME:VALUE,TIME:VALUE, as in 0:0,1.5:1."
            ) from error
        return cls(tuple(time_s for time_s, _ in points), tuple(number for _, number in points))

    def at(self, times_s: np.ndarray) -> np.ndarray:
        """The values at times [T], in seconds."""
        return np.interp(times_s, self.times_s, self.values)

    def __str__(self) -> str:
        return ",".join(f"{time_s:g}:{value:g}" for time_s, value in zip(self.times_s, self.values))


@dataclass(frozen=True)
class EmotionSpan:
    """An emotion for a while.

    Attributes:
      start_s, end_s: of the source.
      mixture: weights of emotions that add up to 1.
      strength: as in `ConversionOptions`, whose own strength is a factor of it.

    Raises:
      ConfigError: the times go backwards, or the strength is out of bounds.
    """

    start_s: float
    end_s: float
    mixture: Mixture
    strength: float = 1.0

    def __post_init__(self):
        if not (math.isfinite(self.start_s) and self.start_s >= 0):
            raise ConfigError(f"A span of an emotion track begins at {self.start_s:g} s; give a time from 0 on.")
        if not self.end_s > self.start_s:
            raise ConfigError(
                f"A span of an emotion track goes from {self.start_s:g} s to {self.end_s:g} s; let it end after its "
                "beginning."
            )
        if not 0 <= self.strength <= MAX_STRENGTH:
            raise ConfigError(
                f"A span of an emotion track has the strength {self.strength:g}; give a number from 0 to "
                f"{MAX_STRENGTH:g}."
            )


@dataclass(frozen=True)
class EmotionTrack:
    """The emotions of a recording over time; no spans leave it as it is."""

    spans: tuple[EmotionSpan, ...]

    @classmethod
    def constant(cls, mixture: Mixture) -> EmotionTrack:
        """One emotion throughout."""
        return cls((EmotionSpan(0.0, math.inf, mixture),))

    @classmethod
    def from_rows(cls, rows: Any) -> EmotionTrack:
        """A track of rows with start_s, end_s, emotion and, optionally, strength.

        Where a row has no strength, the sum of its weights is it: "happy=0.7" is a weak happy.

        Raises:
          ConfigError: a row lacks something, has something else, or holds what cannot be used.
        """
        if isinstance(rows, Mapping) or not isinstance(rows, Iterable):
            raise ConfigError(f"The emotion track {str(rows)[:40]!r} is no list of rows; give one.")
        spans = []
        for number, row in enumerate(rows, 1):
            if not isinstance(row, Mapping):
                raise ConfigError(f"Row {number} of the emotion track is no mapping; give start_s, end_s and emotion.")
            if unknown := sorted(set(map(str, row)) - {"start_s", "end_s", "emotion", "strength"}):
                raise ConfigError(
                    f"Row {number} of the emotion track has {unknown[0]!r}; give start_s, end_s, emotion "
                    "and, if need be, strength."
                )
            if lacking := [name for name in ("start_s", "end_s", "emotion") if row.get(name) in (None, "")]:
                raise ConfigError(f"Row {number} of the emotion track has no {lacking[0]}; give it.")
            weights = parse_weights(row["emotion"])
            given = row.get("strength")
            strength = sum(weights.values()) if given in (None, "") else _number(given, f"The strength of row {number}")
            start_s, end_s = (_number(row[name], f"The {name} of row {number}") for name in ("start_s", "end_s"))
            spans.append(EmotionSpan(start_s, end_s, normalized(weights), strength))
        return cls(tuple(spans))

    def to_rows(self) -> list[dict[str, Any]]:
        """The inverse of `from_rows`."""
        return [
            {"start_s": s.start_s, "end_s": s.end_s, "emotion": dict(s.mixture), "strength": s.strength}
            for s in self.spans
        ]

    @property
    def emotions(self) -> tuple[str, ...]:
        """The names of all emotions in it."""
        return tuple(dict.fromkeys(name for span in self.spans for name in span.mixture))

    def within(self, duration_s: float) -> EmotionTrack:
        """The track of a recording that lasts so long: what reaches its end has no end, so that nothing fades there.

        Raises:
          ConfigError: a span ends after the recording.
        """
        spans = []
        for span in self.spans:
            if math.isfinite(span.end_s) and span.end_s > duration_s + TOLERANCE_S:
                raise ConfigError(
                    f"The emotion track goes on to {span.end_s:g} s, and the recording lasts {duration_s:.2f} s; end "
                    "the track with it."
                )
            reaches_end = span.end_s >= duration_s - TOLERANCE_S
            spans.append(EmotionSpan(span.start_s, math.inf, span.mixture, span.strength) if reaches_end else span)
        return EmotionTrack(tuple(spans))

    def weights(self, times_s: np.ndarray, emotions: Sequence[str], fade_s: float) -> np.ndarray:
        """How much of each emotion there is: at each time a point of the simplex times a strength.

        Every span is smoothed by a moving average over `fade_s`, so that spans that touch sum to one while they change.

        Args:
          times_s: [T], of the source.
          emotions: K names, of the columns.
          fade_s: how long a change takes, around its time; none at the beginning of the recording.

        Returns:
          float32 [T, K].
        """
        total = np.zeros((len(times_s), len(emotions)))
        covered = np.zeros(len(times_s))
        fade_s = max(fade_s, 1e-6)
        for span in self.spans:
            begun = 1.0 if span.start_s <= 0 else np.clip((times_s - span.start_s) / fade_s + 0.5, 0, 1)
            ended = 0.0 if math.isinf(span.end_s) else np.clip((times_s - span.end_s) / fade_s + 0.5, 0, 1)
            share = np.broadcast_to(begun - ended, times_s.shape)
            row = np.array([span.mixture.get(name, 0.0) for name in emotions])
            total += np.outer(share * span.strength, row)
            covered += share
        return (total / np.maximum(covered, 1)[:, None]).astype(np.float32)


def parse_weights(value: Any) -> dict[str, float]:
    """Weights of emotions from "happy", "happy=0.6,surprised=0.4", the same as a JSON object, or a mapping.

    A name without a weight has the weight 1.

    Raises:
      ConfigError: no name, one twice, or a weight that is negative or no number; or all of them are zero.
    """
    text = str(value)[:60]
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value, object_pairs_hook=_once)
        except ConfigError:
            raise
        except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError
            raise ConfigError(f"The emotion {text!r} is no JSON object; give as in happy=0.6,surprised=0.4.") from error
    if isinstance(value, str):
        parts = [part.strip().partition("=") for part in value.split(",")]
        value = _once([(name.strip(), number.strip() if equals else 1.0) for name, equals, number in parts])
    if not isinstance(value, Mapping) or not value or not all(isinstance(name, str) and name for name in value):
        raise ConfigError(f"The emotion {text!r} cannot be read; give a name, or as in happy=0.6,surprised=0.4.")
    weights = {name: _number(weight, f"The weight of {name}") for name, weight in value.items()}
    for name, weight in weights.items():
        if weight < 0:
            raise ConfigError(f"The weight of {name} is {weight:g}; give 0 or more.")
    if not any(weights.values()):
        raise ConfigError(f"All weights of the emotion {text!r} are zero; give one more than that.")
    return weights


def normalized(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights divided by their sum; emotions of no weight are left out."""
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight}


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ConfigError(f"The emotion {name!r} is given twice; give it once.")
        found[name] = value
    return found


def _number(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ConfigError(f"{what} is {str(value)[:40]!r}; give a number.")
    return number
