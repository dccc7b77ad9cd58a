"""How close transferred recordings come to the recordings that rhythm, pitch and timbre are taken from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import from_pcm
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions, TransferAspects, all_aspects
from evc_jax.errors import DataError
from evc_jax.evaluation.metrics import Record, cosine, f0_correlation, over_finite, timing_distance_s
from evc_jax.evaluation.tables import Report, cell
from evc_jax.features.extract import Features

HEADER = (
    "from the target",
    "F0 correlation with the pitch's owner",
    "voice cosine with the timbre's owner",
    "timing distance from the rhythm's owner, ms",
)


def evaluate_transfer(converter: Converter, records: Iterable[Record], pairs: int = 24, seed: int = 0) -> Report:
    """Transfers every combination of aspects between recordings of one sentence by different speakers.

    Args:
      converter: of the bundle to measure.
      records: of a test split, with `audio`, `speaker`, `text_id`; several corpora are drawn from in turn.
      pairs: at most so many, drawn at random.
      seed: of the draw.

    Returns:
      per combination, means over pairs: closeness to the owner of each aspect, the recording that it is taken from; in
      brackets that of the source left as it is.

    Raises:
      DataError: no sentence is recorded by two speakers.
    """
    options, config = ConversionOptions(), converter.bundle.audio
    measured: dict[TransferAspects, list[tuple[float, ...]]] = defaultdict(list)
    drawn = draw_pairs(records, pairs, seed)
    if not drawn:
        raise DataError("No sentence is recorded by two speakers; give a dataset with parallel recordings.")
    for one, two in drawn:
        source, target = (converter.extract(from_pcm(record["audio"]), config.sample_rate_hz) for record in (one, two))
        for aspects in all_aspects():
            sound = converter.transfer_features(source, target, aspects, options).audio
            output = converter.extract(sound, config.sample_rate_hz)
            both = (_measure(x, source, target, aspects, config) for x in (output, source))
            measured[aspects].append(tuple(value for pair in zip(*both, strict=True) for value in pair))
    rows = []
    for aspects, values in measured.items():
        # Means of each value of the transferred recordings, with that of the sources behind it.
        means = map(cell, over_finite(np.mean, values), (".2f", ".2f", ".2f", ".2f", ".0f", ".0f"))
        rows.append((str(aspects), *(f"{transferred} ({source})" for transferred, source in zip(means, means))))
    return Report(HEADER, ("",) * 4, rows, f"{len(drawn)} pairs; in brackets the source left as it is.")


def draw_pairs(records: Iterable[Record], count: int, seed: int = 0) -> list[tuple[Record, Record]]:
    """Pairs of recordings of one sentence by two speakers; each sentence in turn gives one, up to `count`."""
    generator = np.random.default_rng(seed)
    sentences: dict[str, list[Record]] = defaultdict(list)
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
) -> tuple[float, float, float]:
    pitch, timbre, rhythm = (target if moved else source for moved in (aspects.pitch, aspects.timbre, aspects.rhythm))
    return (
        f0_correlation(pitch.mel, pitch.f0_hz, x.mel, x.f0_hz),
        cosine(timbre.embedding, x.embedding),
        1000 * timing_distance_s(rhythm.mel, x.mel, config),
    )
