"""What a bundle's licence means for the sound that is made with it, in one sentence. Imports nothing slow."""

from __future__ import annotations

import re

CODE_LICENCE = "Apache-2.0"

_CONDITIONS = {
    "NC": "not for commercial use",
    "ND": "do not pass on adaptations",
    "SA": "share adaptations under the same licence",
    "BY": "name the authors of the data",
}


def meaning(licence: str) -> str:
    """One sentence about sound made with a bundle of this licence.

    Args:
      licence: as a bundle states it, such as "CC BY-NC-SA 4.0"; of several joined by "and" all conditions hold.
    """
    parts = [part.strip() for part in re.split(r"\band\b|,|;", licence) if part.strip()]
    free = [bool(re.match(r"public domain|CC0", part, re.IGNORECASE)) for part in parts]
    if not parts or parts == ["none"]:
        return "The bundle states no licence: ask its makers before you use sound made with it."
    if all(free):
        return f"Sound made with this bundle ({licence}) may be used for anything."
    marks = [re.findall(r"\b(?:BY|NC|SA|ND)\b", part) if part.startswith("CC BY") else [] for part in parts]
    if not all(found or is_free for found, is_free in zip(marks, free, strict=True)):
        return f"Sound made with this bundle is under the licence of its data ({licence}): read it before you use it."
    named = {mark for found in marks for mark in found}
    conditions = "; ".join(text for mark, text in _CONDITIONS.items() if mark in named)
    return f"For sound made with this bundle ({licence}): {conditions}."
