"""What a section of the page consists of, and the same as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evc_jax.evaluation.bootstrap import Estimate
from evc_jax.evaluation.tables import cell

Value = Estimate | str | float

FIGURES = "evaluation.json"


@dataclass(frozen=True)
class Table:
    """Rows of a name and figures. `specs` are format specifications of the columns behind the name."""

    title: str
    header: Sequence[str]
    specs: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Value]]]
    note: str = ""


@dataclass(frozen=True)
class Players:
    """Recordings to listen to, side by side: labels and files below the page's folder."""

    title: str
    files: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Card:
    """A recording to play, with its picture; both are files below the page's folder."""

    title: str
    text: str
    sound: str
    picture: str
    command: str = ""


@dataclass
class Section:
    """A part of the page; pictures are (file below the page's folder, caption)."""

    name: str
    title: str
    text: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[tuple[str, str]] = field(default_factory=list)
    players: list[Players] = field(default_factory=list)
    cards: list[Card] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The tables' figures and the text; NaN becomes null."""
        tables = [
            {
                "title": table.title,
                "columns": list(table.header),
                "rows": {name: [as_json(value) for value in values] for name, values in table.rows},
                "note": table.note,
            }
            for table in self.tables
        ]
        return {"title": self.title, "text": self.text, "tables": tables}


def as_json(value: Any) -> Any:
    """Plain values that JSON has, floats to four decimals; NaN and infinity become null."""
    if isinstance(value, Estimate):
        return as_json(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {key: as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(each) for each in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def shown(value: Value, spec: str) -> tuple[str, str]:
    """A figure and its interval as text; the second is empty where there is none."""
    if isinstance(value, Estimate):
        interval = "" if math.isnan(value.low) else f"{cell(value.low, spec)} to {cell(value.high, spec)}"
        return cell(value.mean, spec), interval
    return (value, "") if isinstance(value, str) else (cell(value, spec), "")
