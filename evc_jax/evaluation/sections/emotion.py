"""Is the emotion recognised, how near does it come to the actor's own take, and what does it cost in voice?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evc_jax.evaluation.bootstrap import Estimate
from evc_jax.evaluation.context import Context
from evc_jax.evaluation.pictures import confusion, draw_confusions, draw_trade_off
from evc_jax.evaluation.report import Players, Section, Table
from evc_jax.evaluation.scoring import Row, summarise
from evc_jax.evaluation.speech import HEADLINE, NEUTRAL
from evc_jax.evaluation.systems import (
    COPIES,
    REAL,
    REAL_COPY,
    REBUILT,
    UNCHANGED,
    WORLD,
    bundle_name,
    rules_name,
    system_rows,
)

# What is neutral beside the emotions of a system.
_COPIES = {rules_name: WORLD, bundle_name: REBUILT}
# A recogniser that finds a class in less than this share of real recordings does not tell it apart.
RECOGNISED = 0.4
OWN_TAKE = (
    ("own_f0_semitones", "F0, semitones", ".1f"),
    ("own_energy_db", "energy, dB", ".1f"),
    ("own_length", "length, log ratio", ".2f"),
    ("own_mel_cepstral_db", "mel cepstra, dB", ".1f"),
)


def emotion_section(context: Context) -> Section:
    """Recall, confusions, distance to the own take, and the trade-off with the voice."""
    rows = {name: each for name, each in system_rows(context).items() if name not in COPIES}
    section = Section("emotion", "Emotion")
    section.text = [_recogniser_text(context), *_weak_classes(rows.get(REAL, []))]
    section.tables = [_recall_table("Emotion recognised", rows)]
    if len(datasets := {row["dataset"] for each in rows.values() for row in each}) > 1:
        for dataset in sorted(datasets):
            own = {name: [row for row in each if row["dataset"] == dataset] for name, each in rows.items()}
            section.tables.append(_recall_table(f"Emotion recognised: {dataset}", {n: r for n, r in own.items() if r}))
    section.tables.append(_own_take_table(rows))
    section.pictures = [_trade_off(context, rows), _confusions(context, rows)]
    section.players = _players(context, rows)
    return section


def _recogniser_text(context: Context) -> str:
    recogniser = context.scorer.recogniser
    parts = [
        f"{dataset}: {four.name}, mean recall {four.recall:.2f} of neutral, happy, sad and angry (chance 0.25), and "
        f"{recogniser.every[dataset].recall:.2f} of all {len(recogniser.every[dataset].classes)} classes"
        for dataset, four in recogniser.four.items()
    ]
    return (
        "The recogniser is trained on real speech of the training speakers, on acoustic functionals relative to each "
        f"speaker's neutral recordings. By leaving training speakers out: {'; '.join(parts)}. Recordings are brought "
        "to one level, as in the datasets, so that loudness as a whole is not judged."
    )


def _weak_classes(real: Sequence[Row]) -> list[str]:
    weak = []
    for emotion in dict.fromkeys(row["emotion"] for row in real):
        hits = [row["recall_all"] for row in real if row["emotion"] == emotion]
        if np.mean(hits) < RECOGNISED:
            weak.append(f"{emotion} ({np.mean(hits):.2f})")
    text = f"Among all emotions the recogniser does not tell apart on real speech of these speakers: {', '.join(weak)}."
    return [text] if weak else []


def _recall_table(title: str, rows: Mapping[str, Sequence[Row]]) -> Table:
    emotions = list(dict.fromkeys(row["emotion"] for each in rows.values() for row in each))
    emotions = [e for e in HEADLINE if e in emotions] + [e for e in emotions if e not in HEADLINE]
    lines = []
    for name, each in rows.items():
        summary = summarise(each)
        cells = [summary["recall"], summary["certainty"]]
        for emotion in emotions:
            key = "recall" if emotion in HEADLINE else "recall_all"
            cells.append(summarise([row for row in each if row["emotion"] == emotion])[key])
        cells.append(summary["recall_all"])
        lines.append((name, cells))
    header = ("", "happy, sad, angry", "certainty", *emotions, "among all emotions")
    note = (
        "Share of recordings recognised as what was asked for, with 95 % intervals over speakers and recordings. "
        "Happy, sad and angry are recognised among themselves and neutral, other emotions among all of the dataset's."
    )
    return Table(title, header, (".2f",) * (len(header) - 1), lines, note)


def _own_take_table(rows: Mapping[str, Sequence[Row]]) -> Table:
    lines = []
    for name, each in rows.items():
        summary = summarise([row for row in each if row["emotion"] in HEADLINE])
        lines.append((name, [summary[key] for key, _, _ in OWN_TAKE]))
    header = ("", *(heading for _, heading, _ in OWN_TAKE))
    note = (
        "Happy, sad and angry, against what the same actor recorded of the same sentence, after dynamic time warping. "
        "Real speech is compared with the actor's other takes of it: the floor."
    )
    return Table("Distance to the actor's own take", header, [spec for _, _, spec in OWN_TAKE], lines, note)


def _trade_off(context: Context, rows: Mapping[str, Sequence[Row]]) -> tuple[str, str]:
    def place(each: Sequence[Row]) -> tuple[Estimate, Estimate]:
        summary = summarise([row for row in each if row["emotion"] in HEADLINE])
        return summary["voice"], summary["recall"]

    curves = {
        label: [(f"{s:g}", *place(rows[name(s)])) for s in context.strengths if name(s) in rows]
        for label, name in (("bundle", bundle_name), ("rules", rules_name))
    }
    single = [name for name in rows if name in (UNCHANGED, REAL, REAL_COPY) or "rendering" in name]
    draw_trade_off(context.picture("trade_off.png"), curves, {name: place(rows[name]) for name in single})
    return "trade_off.png", "Emotion recognised against voice kept, over the strength; lines are 95 % intervals."


def _confusions(context: Context, rows: Mapping[str, Sequence[Row]]) -> tuple[str, str]:
    labels = [NEUTRAL, *HEADLINE]
    middle = min(context.strengths, key=lambda strength: abs(strength - 1))
    every = system_rows(context)
    shown = {name: copy for name, copy in _COPIES.items() if name(middle) in rows}
    matrices = {REAL: (labels, confusion(rows.get(REAL, []), "of_four", labels))}
    for name, copy in shown.items():
        with_neutral = [*rows[name(middle)], *every.get(copy, [])]
        matrices[name(middle)] = (labels, confusion(with_neutral, "of_four", labels))
    draw_confusions(context.picture("confusions.png"), matrices)
    return (
        "confusions.png",
        "Of 100 recordings that were asked to be an emotion, how many are recognised as each; neutral are copies.",
    )


def _players(context: Context, rows: Mapping[str, Sequence[Row]]) -> list[Players]:
    """For each kept source and emotion of the headline the systems side by side."""
    groups: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for name, each in rows.items():
        for row in each:
            if row["emotion"] in HEADLINE and context.was_kept(row["sound"]):
                key = row["speaker"], row["source"], row["emotion"]
                if name not in dict(groups.setdefault(key, [])):
                    groups[key].append((name, row["sound"]))
    return [Players(f"{speaker}, {emotion}", files) for (speaker, _, emotion), files in sorted(groups.items())]
