"""Measurements as a Markdown table that is also readable as plain text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with columns of equal width; the first column is text, the others are numbers."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        return f"| {' | '.join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(map(line, [header, rule, *rows]))


def cell(value: Any, spec: str) -> str:
    """The formatted value, e.g. by the specification "+.1f"; a dash if it could not be measured (NaN)."""
    return "-" if isinstance(value, float) and math.isnan(value) else format(value, spec)
