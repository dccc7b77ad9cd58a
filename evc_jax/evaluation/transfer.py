"""Whether each aspect follows its owner when aspects are transferred between parallel recordings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import from_pcm
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions, TransferAspects, all_aspects
from evc_jax.evaluation.metrics import cosine, f0_correlation, timing_distance_s
from evc_jax.features.extract import Features


@dataclass(frozen=True)
class Followed:
    """How close a recording comes to the owner of each aspect.

    Attributes:
      f0_correlation: with the log-F0 of the pitch's owner.
      voice_cosine: with the timbre's owner.
      timing_distance_s: from the rhythm's owner.
    """

    f0_correlation: float
    voice_cosine: float
    timing_distance_s: float


@dataclass(frozen=True)
class TransferRow:
    """One combination of aspects, averaged over pairs: the transferred recordings, and the sources as they are."""

    aspects: TransferAspects
    transferred: Followed
    source: Followed


@dataclass(frozen=True)
class TransferReport:
    """What `evaluate_transfer` measured: one row per combination, over so many pairs."""

    rows: tuple[TransferRow, ...]
    pairs: int

    def __str__(self) -> str:
        lines = [
            "| from the target | F0 correlation with the pitch's owner | voice cosine with the timbre's owner | "
            "timing distance from the rhythm's owner |",
            "|---|---|---|---|",
        ]
        for row in self.rows:
            done, left = row.transferred, row.source
            lines.append(
                f"| {row.aspects} | {done.f0_correlation:.2f} ({left.f0_correlation:.2f}) | "
                f"{done.voice_cosine:.2f} ({left.voice_cosine:.2f}) | "
                f"{1000 * done.timing_distance_s:.0f} ms ({1000 * left.timing_distance_s:.0f} ms) |"
            )
        lines += ["", f"{self.pairs} pairs; in brackets the source left as it is."]
        return "\n".join(lines)


def evaluate_transfer(
    converter: Converter, records: Iterable[Mapping[str, Any]], pairs: int = 24, seed: int = 0
) -> TransferReport:
    """Transfers every combination of aspects between recordings of one sentence by different speakers.

    Args:
      converter: of the bundle to measure.
      records: of a test split, with `audio`, `speaker`, `text_id`; several corpora are drawn from in turn.
      pairs: at most so many, drawn at random.
      seed: of the draw.
    """
    options, config = ConversionOptions(), converter.bundle.audio
    measured: dict[TransferAspects, list[tuple[Followed, Followed]]] = defaultdict(list)
    drawn = draw_pairs(records, pairs, seed)
    for one, two in drawn:
        source, target = (converter.extract(from_pcm(record["audio"]), config.sample_rate_hz) for record in (one, two))
        for aspects in all_aspects():
            sound = converter.transfer_features(source, target, aspects, options).audio
            output = converter.extract(sound, config.sample_rate_hz)
            results = (_measure(x, source, target, aspects, config) for x in (output, source))
            measured[aspects].append(tuple(results))
    rows = (TransferRow(aspects, *map(_mean, zip(*values, strict=True))) for aspects, values in measured.items())
    return TransferReport(tuple(rows), len(drawn))


def draw_pairs(
    records: Iterable[Mapping[str, Any]], count: int, seed: int = 0
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Pairs of one sentence by two speakers; each sentence in turn gives one, until there are enough."""
    generator = np.random.default_rng(seed)
    sentences: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        sentences[record["text_id"]].append(record)
    queues = []
    for members in sentences.values():
        found = [(a, b) for a in members for b in members if a["speaker"] != b["speaker"]]
        queues.append([found[i] for i in generator.permutation(len(found))])
    longest = max(map(len, queues), default=0)
    in_turn = (queue[i] for i in range(longest) for queue in queues if i < len(queue))
    return [pair for pair, _ in zip(in_turn, range(count))]


def _measure(
    x: Features, source: Features, target: Features, aspects: TransferAspects, config: AudioConfig
) -> Followed:
    pitch, timbre, rhythm = (target if moved else source for moved in (aspects.pitch, aspects.timbre, aspects.rhythm))
    return Followed(
        f0_correlation(pitch.mel, pitch.f0_hz, x.mel, x.f0_hz),
        cosine(timbre.embedding, x.embedding),
        timing_distance_s(rhythm.mel, x.mel, config),
    )


def _mean(results: Iterable[Followed]) -> Followed:
    """Means over pairs; where an output has no voiced frame its correlation is left out."""
    columns = np.array([(r.f0_correlation, r.voice_cosine, r.timing_distance_s) for r in results]).T
    finite = (column[np.isfinite(column)] for column in columns)
    return Followed(*(float(column.mean()) if len(column) else float("nan") for column in finite))
