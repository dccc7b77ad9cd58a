"""Is the voice kept under emotion, cloned from a reference, and are new voices voices?"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from evc_jax.audio.io import from_pcm
from evc_jax.evaluation import judges
from evc_jax.evaluation.bootstrap import Estimate, estimate
from evc_jax.evaluation.context import SOUND, Context
from evc_jax.evaluation.metrics import Record, cosine
from evc_jax.evaluation.report import Players, Section, Table
from evc_jax.evaluation.scoring import Row, summarise
from evc_jax.evaluation.sections.new_voices import new_voices_table
from evc_jax.evaluation.speech import NEUTRAL, by_speaker
from evc_jax.evaluation.systems import system_rows

PAIRS, QUICK_PAIRS = 24, 4
TAKES = 4  # of each speaker, for the scale
NAN = float("nan")


def voice_section(context: Context) -> Section:
    """Cosines by the voice encoder and by a verifier that took no part in training."""
    section = Section("voice", "Voice")
    text = (
        "Two judges: the voice encoder (Resemblyzer's network), which networks here are trained with, and a second "
        "verifier, which nothing here is trained with. Both give the cosine of two recordings."
    )
    section.text = [text]
    section.tables = [_scale_table(context), _kept_table(system_rows(context))]
    cloned, players = _cloning(context)
    section.tables += [cloned] if cloned else []
    section.players = players
    if context.converter.bundle.has("voicegan"):
        section.tables.append(new_voices_table(context))
    return section


def embeddings(audio: Float[np.ndarray, " S"], context: Context) -> dict[str, list[float]]:
    """The embeddings of both judges, as JSON has them; the verifier's is empty where it is not installed."""
    features = context.converter.extract(audio, context.config.sample_rate_hz)
    verifier = judges.verifier_embedding(features.audio)
    return {"encoder": features.embedding.tolist(), "verifier": [] if verifier is None else verifier.tolist()}


def _embedded(context: Context, record: Record) -> dict[str, list[float]]:
    key = f"embedding|{record['dataset']}|{record['utterance_id']}"
    return context.store.get(key, lambda: embeddings(from_pcm(record["audio"]), context))


def compare(a: Mapping[str, Sequence[float]], b: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Cosines of two recordings' embeddings, by both judges; NaN where there are none."""
    encoder, verifier = (
        cosine(np.array(a[name]), np.array(b[name])) if a[name] and b[name] else NAN for name in ("encoder", "verifier")
    )
    return encoder, verifier


def _neutral_takes(context: Context) -> dict[str, list[Record]]:
    return by_speaker([record for record in context.speech.judged if record["emotion"] == NEUTRAL])


def _scale_table(context: Context) -> Table:
    takes = {name: records[:TAKES] for name, records in _neutral_takes(context).items()}
    same: list[tuple[str, float, float]] = []
    strangers: list[tuple[str, float, float]] = []
    everyone = [record for records in takes.values() for record in records]
    known = [(record, _embedded(context, record)) for record in context.bar(everyone, "voices")]
    for (a, of_a), (b, of_b) in itertools.combinations(known, 2):
        if a["dataset"] == b["dataset"]:
            values = compare(of_a, of_b)
            (same if a["speaker"] == b["speaker"] else strangers).append((a["speaker"], *values))
    lines = []
    for name, pairs in (("two recordings of one speaker", same), ("strangers", strangers)):
        speakers = [speaker for speaker, *_ in pairs]
        columns = np.array([values for _, *values in pairs], float).reshape(-1, 2).T
        lines.append((name, [estimate(column, speakers) for column in columns]))
    note = "Neutral recordings of one dataset."
    return Table("The scale", ("", "voice encoder", "second verifier"), (".2f", ".2f"), lines, note)


def _kept_table(rows: Mapping[str, Sequence[Row]]) -> Table:
    lines = []
    for name, each in rows.items():
        summary = summarise(each)
        lines.append((name, [summary["voice"], summary["verifier"]]))
    note = "Cosine with the source. Real emotional speech shows how far emotion itself moves each judge."
    return Table("Voice kept", ("", "voice encoder", "second verifier"), (".2f", ".2f"), lines, note)


def clone_pairs(takes: Mapping[str, Sequence[Record]], count: int) -> list[tuple[Record, Record, Record]]:
    """(source, reference, other recording of the reference's speaker): neighbours first, in every dataset."""
    names = sorted(name for name, records in takes.items() if len(records) > 1)
    pairs = []
    for step in range(1, len(names)):
        for i, name in enumerate(names):
            target = names[(i + step) % len(names)]
            source, reference = takes[name][step % len(takes[name])], takes[target][0]
            if source["dataset"] == reference["dataset"]:
                pairs.append((source, reference, takes[target][1]))
    return pairs[:count]


def _cloning(context: Context) -> tuple[Table | None, list[Players]]:
    pairs = clone_pairs(_neutral_takes(context), QUICK_PAIRS if context.settings.quick else PAIRS)
    if not pairs:
        return None, []
    measured: dict[str, list[tuple[str, float, float, float, float]]] = {}
    players = []
    for number, (source, reference, other) in enumerate(context.bar(pairs, "cloning")):
        name = f"{source['utterance_id']} {reference['utterance_id']}".replace("/", "_").replace(" ", "_to_")
        files = [f"{SOUND}/clone_{what}_{name}.flac" for what in ("source", "reference", "output")]

        def clone(source=source, reference=reference, files=files) -> dict[str, list[float]]:
            for file, record in zip(files, (source, reference)):
                context.save_sound(file, from_pcm(record["audio"]))
            output = context.convert(source, voice=str(context.settings.output / files[1]))
            context.save_sound(files[2], output)
            return embeddings(output, context)

        output = context.store.get(f"clone|{source['dataset']}|{name}", clone)
        of_source, of_target = _embedded(context, source), _embedded(context, other)
        scale = _embedded(context, reference)
        for system, found in (("bundle", output), ("the source, unchanged", of_source), ("the reference", scale)):
            to_source, to_target = compare(found, of_source), compare(found, of_target)
            measured.setdefault(system, []).append((source["speaker"], *to_source, *to_target))
        if number < 4 and context.was_kept(files[2]):
            title = f"{source['speaker']} in the voice of {reference['speaker']}"
            players.append(Players(title, list(zip(("source", "reference", "output"), files))))
    lines = [(system, _clone_cells(values)) for system, values in measured.items()]
    judge_names = ("voice encoder", "second verifier")
    header = (
        "",
        *(f"{what}, {name}" for name in judge_names for what in ("to source", "to target", "nearer to target")),
    )
    note = (
        f"{len(pairs)} pairs of speakers. The target is another recording of the reference's speaker. The voice "
        "encoder also chooses the voice, so that the second verifier's opinion counts more."
    )
    return Table("Voice of a reference", header, (".2f",) * 6, lines, note), players


def _clone_cells(values: Sequence[tuple[str, float, float, float, float]]) -> list[Estimate]:
    names = [value[0] for value in values]
    numbers = np.array([value[1:] for value in values])
    cells = []
    for judge in range(2):
        source, target = numbers[:, judge], numbers[:, 2 + judge]
        nearer = np.where(np.isfinite(source + target), target > source, NAN)
        cells += [estimate(column, names) for column in (source, target, nearer)]
    return cells
