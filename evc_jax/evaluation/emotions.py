"""How far a bundle's conversions go where the same speaker's real recordings go.

For each neutral recording of a speaker: convert it to every emotion, and compare the pitch of the result with the pitch
of what the same speaker recorded with that emotion, both relative to the neutral one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evc_jax.audio.io import from_pcm
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.evaluation.metrics import f0_summary

NEUTRAL = "neutral"


@dataclass(frozen=True)
class EmotionRow:
    """One emotion, averaged over neutral recordings of the test split.

    Attributes:
      emotion: its name.
      real_shift: semitones by which the speakers' own recordings of that emotion lie above their neutral ones.
      converted_shift: semitones by which conversions lie above the rebuilt neutral ones.
      real_range, converted_range: width of the melody in semitones.
      similarity: cosine of the conversion's speaker embedding with the speaker's.
    """

    emotion: str
    real_shift: float
    converted_shift: float
    real_range: float
    converted_range: float
    similarity: float


@dataclass(frozen=True)
class Report:
    """What `evaluate_emotions` measured.

    Attributes:
      rows: one per emotion.
      recordings: neutral recordings that were converted.
      rebuilt_similarity: cosine of the rebuilt recordings with their speaker.
      stranger_similarity: mean cosine of different test speakers, for comparison.
      shift_correlation: of real and converted shift over speakers and emotions; 0 would be chance.
    """

    rows: tuple[EmotionRow, ...]
    recordings: int
    rebuilt_similarity: float
    stranger_similarity: float
    shift_correlation: float

    def __str__(self) -> str:
        lines = [
            "| emotion | F0 shift, real | F0 shift, converted | F0 range, real | F0 range, converted | same voice |",
            "|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            lines.append(
                f"| {row.emotion} | {row.real_shift:+.1f} | {row.converted_shift:+.1f} | {row.real_range:.1f} | "
                f"{row.converted_range:.1f} | {row.similarity:.2f} |"
            )
        lines.append("")
        lines.append(
            f"{self.recordings} neutral recordings; shifts and ranges in semitones; correlation of real and converted "
            f"shifts {self.shift_correlation:.2f}; voice cosine {self.rebuilt_similarity:.2f} when only rebuilt, "
            f"{self.stranger_similarity:.2f} between strangers."
        )
        return "\n".join(lines)


def evaluate_emotions(
    converter: Converter, records: Iterable[Mapping[str, Any]], strength: float = 1.0, limit: int = 2
) -> Report:
    """Converts neutral recordings to every emotion and measures the results.

    Args:
      converter: of the bundle to measure.
      records: of a test split, with `audio`, `f0_hz`, `speaker`, `emotion`, `speaker_embedding`.
      strength: of the conversions.
      limit: neutral recordings per speaker.
    """
    speakers: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        speakers[record["speaker"]].append(record)
    measured: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    rebuilt, converted_count = [], 0
    for members in speakers.values():
        for record in [r for r in members if r["emotion"] == NEUTRAL][:limit]:
            converted_count += 1
            features = converter.extract(from_pcm(record["audio"]), converter.sample_rate_hz)
            base = _measure(converter, converter.convert_features(features, ConversionOptions()), record)
            rebuilt.append(base[2])
            for emotion in converter.emotions:
                real = _real_shift(members, emotion)
                if real is None:
                    continue
                result = _measure(
                    converter, converter.convert_features(features, ConversionOptions(emotion, strength)), record
                )
                measured[emotion].append((real[0], result[0] - base[0], real[1], result[1], result[2]))
    rows = tuple(EmotionRow(emotion, *map(float, np.nanmean(values, axis=0))) for emotion, values in measured.items())
    pairs = np.array([value[:2] for values in measured.values() for value in values])
    pairs = pairs[np.isfinite(pairs).all(axis=1)]  # an output may have no voiced frame
    embeddings = np.stack([members[0]["speaker_embedding"] for members in speakers.values()])
    return Report(
        rows=rows,
        recordings=converted_count,
        rebuilt_similarity=float(np.mean(rebuilt)),
        stranger_similarity=_stranger_similarity(embeddings),
        shift_correlation=float(np.corrcoef(pairs.T)[0, 1]),
    )


def _measure(converter: Converter, result: Any, record: Mapping[str, Any]) -> tuple[float, float, float]:
    """Semitones above 1 Hz, melody range in semitones, cosine with the speaker."""
    pitch = f0_summary(result.f0_hz)
    embedding = converter.extract(result.audio, converter.sample_rate_hz).embedding
    return _semitones(pitch.median_hz), pitch.range_semitones, float(embedding @ record["speaker_embedding"])


def _real_shift(members: Sequence[Mapping[str, Any]], emotion: str) -> tuple[float, float] | None:
    """How much higher this speaker's recordings of the emotion are than the neutral ones, and how wide."""
    found = {
        name: [f0_summary(r["f0_hz"]) for r in members if r["emotion"] == name and (r["f0_hz"] > 0).any()]
        for name in (emotion, NEUTRAL)
    }
    if not found[emotion] or not found[NEUTRAL]:
        return None
    height = {name: np.mean([_semitones(s.median_hz) for s in summaries]) for name, summaries in found.items()}
    return height[emotion] - height[NEUTRAL], float(np.mean([s.range_semitones for s in found[emotion]]))


def _semitones(hz: float) -> float:
    return 12 * float(np.log2(max(hz, 1.0)))


def _stranger_similarity(embeddings: np.ndarray) -> float:
    cosines = embeddings @ embeddings.T
    return float(cosines[~np.eye(len(cosines), dtype=bool)].mean()) if len(cosines) > 1 else float("nan")
