"""The figures that a bundle carries: `cp evaluation/evaluation.json BUNDLE/` after `evc evaluate BUNDLE`.

A bundle that is made anew has none, so that they are always of the networks beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evc_jax.errors import BundleError, one_line
from evc_jax.evaluation.bootstrap import NAN, Estimate
from evc_jax.evaluation.report import FIGURES, Section, Table
from evc_jax.evaluation.systems import REAL_COPY

_CLONES = "Voice of a reference"


def published_section(bundle: Path) -> Section | None:
    """The figures of emotion and voice in short; None where the bundle carries none.

    Raises:
      BundleError: its file of figures is not one that `evc evaluate` wrote.
    """
    file = bundle / FIGURES
    if not file.is_file():
        return None
    try:
        figures = json.loads(file.read_text(encoding="utf-8"))
        tables = {table["title"]: table for part in figures["sections"].values() for table in part["tables"]}
        split = f"of the {figures['split']} split of {figures['datasets']}"
        section = Section("published", f"Measured on {figures['speakers'].count(',') + 1} speakers {split}")
        if "Emotion recognised" in tables and "Voice kept" in tables:
            section.tables.append(_emotion_table(tables["Emotion recognised"]["rows"], tables["Voice kept"]["rows"]))
        if clones := tables.get(_CLONES):
            rows = [(name, [_estimate(cell) for cell in cells]) for name, cells in clones["rows"].items()]
            header = clones["columns"]
            section.tables.append(Table(_CLONES, header, [".2f"] * (len(header) - 1), rows, clones["note"]))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BundleError(
            f"{file} does not hold what `evc evaluate` writes ({one_line(error)}); copy it there again, or remove it."
        ) from error
    return section


def _emotion_table(recognised: Mapping[str, Any], kept: Mapping[str, Any]) -> Table:
    header = ("", "recognised", "voice kept, voice encoder", "voice kept, second verifier")
    rows = [
        (name, [_estimate(cells[0]), *map(_estimate, kept[name])])
        for name, cells in recognised.items()
        if name != REAL_COPY
    ]
    note = (
        "Recognised: the share of recordings that are happy, sad or angry, as they should be, to a recogniser that was "
        "trained on real speech of other speakers. Voice kept: cosine with the neutral recording. No network here was "
        "trained with the second verifier. Below are 95 % intervals over speakers and recordings."
    )
    return Table("Emotion and voice", header, (".2f",) * 3, rows, note)


def _estimate(stored: Mapping[str, Any]) -> Estimate:
    numbers: dict[str, Any] = {name: NAN if value is None else value for name, value in stored.items()}
    return Estimate(**numbers)
