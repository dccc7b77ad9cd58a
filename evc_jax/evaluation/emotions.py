"""The pitch of converted emotions beside the pitch of the same speakers' real recordings.

Each neutral recording of a speaker is converted to every emotion. The pitch of the result is compared with the pitch of
what the same speaker recorded with that emotion, both relative to the neutral recording.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from evc_jax.audio.io import from_pcm
from evc_jax.conversion.converter import Conversion, Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import BundleError, DataError
from evc_jax.evaluation.metrics import Record, f0_summary, over_finite
from evc_jax.evaluation.tables import Report, cell

NEUTRAL = "neutral"


def evaluate_emotions(converter: Converter, records: Iterable[Record], strength: float = 1.0, limit: int = 2) -> Report:
    """Converts neutral recordings to every emotion and measures the results.

    Args:
      converter: of the bundle to measure.
      records: of a test split, with `audio`, `f0_hz`, `speaker`, `emotion`, `speaker_embedding`.
      strength: of the conversions.
      limit: neutral recordings per speaker.

    Returns:
      per emotion that a speaker with neutral recordings has recorded, as means over those: semitones by which the
      speaker's own recordings lie above neutral and by which conversions lie above rebuilt neutral ones, width of the
      melody of both in semitones, and cosine of the conversion's speaker embedding with the speaker's.

    Raises:
      BundleError: the bundle has no emotions.
      DataError: no recording is neutral.
    """
    if not converter.emotions:
        raise BundleError("The bundle converts no emotions; give one with CodeGAN.")
    speakers: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        speakers[record["speaker"]].append(record)
    sources = [r for members in speakers.values() for r in [r for r in members if r["emotion"] == NEUTRAL][:limit]]
    if not sources:
        raise DataError(f"No recording is {NEUTRAL}, which conversions start from; give datasets that have such ones.")
    measured: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    rebuilt = []
    for record in sources:
        similarity, results = _convert_and_measure(converter, record, speakers[record["speaker"]], strength)
        rebuilt.append(similarity)
        for emotion, values in results.items():
            measured[emotion].append(values)
    embeddings = np.stack([members[0]["speaker_embedding"] for members in speakers.values()])
    correlation = _correlation([value[:2] for values in measured.values() for value in values])
    note = (
        f"{len(sources)} neutral recordings; shifts and ranges in semitones; correlation of real and converted shifts "
        f"{cell(correlation, '.2f')}; voice cosine {np.mean(rebuilt):.2f} when only rebuilt, "
        f"{cell(_stranger_similarity(embeddings), '.2f')} between strangers."
    )
    if missing := [emotion for emotion in converter.emotions if emotion not in measured]:
        note += f"\nNot measured, as no speaker has recorded them beside neutral: {', '.join(missing)}."
    rows = [(emotion, *over_finite(np.mean, values)) for emotion, values in measured.items()]
    header = ("emotion", "F0 shift, real", "converted", "F0 range, real", "converted", "same voice")
    return Report(header, ("", "+.1f", "+.1f", ".1f", ".1f", ".2f"), rows, note)


def _convert_and_measure(
    converter: Converter, record: Record, members: Sequence[Record], strength: float
) -> tuple[float, Mapping[str, tuple[float, ...]]]:
    """The rebuilt recording's cosine with its speaker, and the measurements of each emotion that can be compared."""
    features = converter.extract(from_pcm(record["audio"]), converter.sample_rate_hz)
    base = _measure(converter, converter.convert_features(features, ConversionOptions()), record)
    results = {}
    for emotion in converter.emotions:
        if (real := _real_shift(members, emotion)) is None:
            continue
        options = ConversionOptions(emotion, strength)
        result = _measure(converter, converter.convert_features(features, options), record)
        results[emotion] = (real[0], result[0] - base[0], real[1], result[1], result[2])
    return base[2], results


def _measure(converter: Converter, result: Conversion, record: Record) -> tuple[float, float, float]:
    """Semitones above 1 Hz, melody range in semitones, cosine with the speaker."""
    pitch = f0_summary(result.f0_hz)
    embedding = converter.extract(result.audio, converter.sample_rate_hz).embedding
    return _semitones(pitch.median_hz), pitch.range_semitones, float(embedding @ record["speaker_embedding"])


def _real_shift(members: Sequence[Record], emotion: str) -> tuple[float, float] | None:
    """Semitones from the speaker's neutral recordings to those of the emotion, and the range of the latter."""
    found = {
        name: [f0_summary(r["f0_hz"]) for r in members if r["emotion"] == name and (r["f0_hz"] > 0).any()]
        for name in (emotion, NEUTRAL)
    }
    if not found[emotion] or not found[NEUTRAL]:
        return None
    height = {name: np.mean([_semitones(s.median_hz) for s in summaries]) for name, summaries in found.items()}
    return float(height[emotion] - height[NEUTRAL]), float(np.mean([s.range_semitones for s in found[emotion]]))


def _semitones(hz: float) -> float:
    return 12 * float(np.log2(max(hz, 1.0)))


def _correlation(pairs: Sequence[Sequence[float]]) -> float:
    """Correlation over the finite pairs; NaN where they do not determine it."""
    finite = np.array([pair for pair in pairs if np.isfinite(pair).all()]).reshape(-1, 2)
    if len(finite) < 2 or not finite.std(axis=0).all():
        return float("nan")
    return float(np.corrcoef(finite.T)[0, 1])


def _stranger_similarity(embeddings: np.ndarray) -> float:
    cosines = embeddings @ embeddings.T
    return float(cosines[~np.eye(len(cosines), dtype=bool)].mean()) if len(cosines) > 1 else float("nan")
