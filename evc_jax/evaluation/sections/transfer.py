"""How close transferred recordings come to the recordings that rhythm, pitch and timbre are taken from."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from evc_jax.audio.config import AudioConfig
from evc_jax.conversion.aspects import TransferAspects, all_aspects
from evc_jax.conversion.options import OPTIONS, options_from
from evc_jax.evaluation.bootstrap import estimate
from evc_jax.evaluation.context import Context
from evc_jax.evaluation.metrics import Record, cosine, f0_correlation, timing_distance_s
from evc_jax.evaluation.report import Section, Table
from evc_jax.features.extract import Features

PAIRS, QUICK_PAIRS = 24, 4
HEADER = (
    "from the target",
    *("F0 correlation with the pitch's owner", "the source as it is"),
    *("voice cosine with the timbre's owner", "the source as it is"),
    *("timing distance from the rhythm's owner, ms", "the source as it is"),
)


def transfer_section(context: Context) -> Section:
    """Transfers every combination of aspects between recordings of one sentence by different speakers."""
    section = Section("transfer", "Transfer")
    pairs = draw_pairs(context.speech.judged, QUICK_PAIRS if context.settings.quick else PAIRS)
    if not pairs:
        section.text = ["Not measured: no sentence is recorded by two of the judged speakers."]
        return section
    aspects = [a for a in all_aspects() if context.converter.bundle.has("f0_converter") or not a.needs_f0_converter]
    measured: dict[TransferAspects, list[list[float]]] = defaultdict(list)
    for one, two in context.bar(pairs, "transfer"):
        for each in aspects:
            key = f"transfer|{each}|{one['dataset']}|{one['utterance_id']}|{two['utterance_id']}"
            row = context.store.get(key, functools.partial(_measured, context, one, two, each))
            measured[each].append(row["values"])
    speakers = [one["speaker"] for one, _ in pairs]
    lines = [
        (str(each), [estimate(column, speakers) for column in np.array(values).T]) for each, values in measured.items()
    ]
    note = (
        f"{len(pairs)} pairs of recordings of one sentence by two speakers: closeness to the owner of each aspect, the "
        "recording that it is taken from. R is rhythm, F pitch, U timbre."
    )
    section.tables = [Table("Closeness to the owner of each aspect", HEADER, (".2f",) * 4 + (".0f",) * 2, lines, note)]
    return section


def draw_pairs(records: Iterable[Record], count: int, seed: int = 0) -> list[tuple[Record, Record]]:
    """Pairs of recordings of one sentence by two speakers; each sentence in turn gives one, up to `count`."""
    generator = np.random.default_rng(seed)
    sentences: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        sentences[record["text_id"]].append(record)
    queues = []
    for members in sentences.values():
        found = [(a, b) for a in members for b in members if a["speaker"] != b["speaker"]]
        queues.append([found[i] for i in generator.permutation(len(found))[:count]])
    longest = max(map(len, queues), default=0)
    in_turn = (queue[i] for i in range(longest) for queue in queues if i < len(queue))
    return [pair for pair, _ in zip(in_turn, range(count))]


def _measured(context: Context, one: Record, two: Record, aspects: TransferAspects) -> dict[str, list[float]]:
    source, target = context.features(one), context.features(two)
    synthesis = {option.name for option in OPTIONS if option.synthesis}
    options = options_from({k: v for k, v in context.settings.options.items() if k in synthesis}, synthesis_only=True)
    sound = context.converter.transfer_features(source, target, aspects, options).audio
    output = context.converter.extract(sound, context.config.sample_rate_hz)
    both = (closeness(x, source, target, aspects, context.config) for x in (output, source))
    return {"values": [float(value) for pair in zip(*both, strict=True) for value in pair]}


def closeness(
    x: Features, source: Features, target: Features, aspects: TransferAspects, config: AudioConfig
) -> tuple[float, float, float]:
    """F0 correlation with the pitch's owner, cosine with the timbre's, timing distance in ms to the rhythm's."""
    pitch, timbre, rhythm = (target if moved else source for moved in (aspects.pitch, aspects.timbre, aspects.rhythm))
    return (
        f0_correlation(pitch.mel, pitch.f0_hz, x.mel, x.f0_hz),
        cosine(timbre.embedding, x.embedding),
        1000 * timing_distance_s(rhythm.mel, x.mel, config),
    )
