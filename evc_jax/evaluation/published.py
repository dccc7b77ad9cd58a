"""The figures that a bundle carries: `cp evaluation/evaluation.json BUNDLE/` after `evc evaluate BUNDLE`.

A bundle that is made anew has none, so that they are always of the networks beside them.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evc_jax.errors import BundleError, one_line
from evc_jax.evaluation.bootstrap import NAN, Estimate
from evc_jax.evaluation.report import FIGURES, Section, Table, Value
from evc_jax.evaluation.systems import REAL_COPY

_CLONES = "Voice of a reference"


def all_sections(bundle: Path) -> list[Section]:
    """All figures that the bundle carries, without sounds and pictures; none where it carries none.

    Raises:
      BundleError: see `published_section`.
    """
    if not (bundle / FIGURES).is_file():
        return []
    sections = []
    with _reading(bundle) as figures:
        for name, part in figures["sections"].items():
            tables = []
            for table in part["tables"]:
                rows = [(row, [_figure(cell) for cell in cells]) for row, cells in table["rows"].items()]
                specs = [".2f"] * max((len(cells) for _, cells in rows), default=0)
                tables.append(Table(table["title"], table["columns"], specs, rows, table["note"]))
            sections.append(Section(name, part["title"], part["text"], tables))
    return sections


def published_section(bundle: Path) -> Section | None:
    """The figures of emotion and voice in short; None where the bundle carries none.

    Raises:
      BundleError: its file of figures is not one that `evc evaluate` wrote.
    """
    if not (bundle / FIGURES).is_file():
        return None
    with _reading(bundle) as figures:
        tables = {table["title"]: table for part in figures["sections"].values() for table in part["tables"]}
        split = f"of the {figures['split']} split of {figures['datasets']}"
        section = Section("published", f"Measured on {figures['speakers'].count(',') + 1} speakers {split}")
        if "Emotion recognised" in tables and "Voice kept" in tables:
            section.tables.append(_emotion_table(tables["Emotion recognised"]["rows"], tables["Voice kept"]["rows"]))
        if clones := tables.get(_CLONES):
            rows = [(name, [_estimate(cell) for cell in cells]) for name, cells in clones["rows"].items()]
            header = clones["columns"]
            section.tables.append(Table(_CLONES, header, [".2f"] * (len(header) - 1), rows, clones["note"]))
    return section


@contextlib.contextmanager
def _reading(bundle: Path) -> Iterator[dict[str, Any]]:
    """The content of the file of figures, inside of which its mistakes become a BundleError."""
    file = bundle / FIGURES
    try:
        yield json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise BundleError(
            f"{file} does not hold what `evc evaluate` writes ({one_line(error)}); copy it there again, or remove it."
        ) from error


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


def _figure(stored: Any) -> Value:
    """What `report.as_json` wrote."""
    return _estimate(stored) if isinstance(stored, Mapping) else NAN if stored is None else stored


def _estimate(stored: Mapping[str, Any]) -> Estimate:
    numbers: dict[str, Any] = {name: NAN if value is None else value for name, value in stored.items()}
    return Estimate(**numbers)
