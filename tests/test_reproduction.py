"""The tables of docs/reproduction.md beside the configs and the code that they describe."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from evc_jax.audio.config import AudioConfig
from evc_jax.config import to_mapping
from evc_jax.models.voice_encoder import VoiceEncoderConfig
from evc_jax.training.config import load_config_file

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "reproduction.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
KEYED = [title for title, text in SECTIONS.items() if "\nKeys are " in text]
DATACLASSES = {"AudioConfig": AudioConfig, "VoiceEncoderConfig": VoiceEncoderConfig}


def rows(text: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def described(text: str) -> dict[str, Any]:
    """The settings that a section's keys stand for."""
    if match := re.search(r"`(configs/\w+\.py):(\w+)`", text):
        settings = load_config_file(ROOT / match[1], match[2])
        return settings.to_dict() if hasattr(settings, "to_dict") else settings
    name = re.search(r"`evc_jax/[\w/]+\.py: (\w+)`", text)
    assert name, "the section does not say whose its keys are"
    return to_mapping(DATACLASSES[name[1]]())


def as_written(value: Any) -> str:
    """A setting as the page writes it."""
    if value is None or value == () or value == []:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(as_written, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{int(value):,}" if value == int(value) and abs(value) >= 1000 else f"{value:g}"
    return str(value)


@pytest.mark.parametrize("title", KEYED)
def test_the_column_here_is_what_the_config_says(title):
    settings = described(SECTIONS[title])
    wrong, compared = [], 0
    for parameter, *_, here, key, _why in rows(SECTIONS[title]):
        if key:
            value: Any = settings
            for part in key.strip("`").split("."):
                value = value[part]
            compared += 1
            if here != as_written(value):
                wrong.append(f"{parameter}: the page has {here!r}, {key} is {as_written(value)!r}")
    assert not wrong, f"docs/reproduction.md, {title}: " + "; ".join(wrong)
    assert compared >= 4


def test_each_network_of_the_reference_has_a_table():
    named = set(re.findall(r"`configs/(\w+)\.py:full`", PAGE))
    assert named == {"speechsplit", "f0_converter", "codegan", "voicegan", "waveglow"}
    assert len(KEYED) == len(named) + len(DATACLASSES)


def test_a_wrong_number_would_be_found():
    assert as_written(12) != as_written(24)
    assert as_written([1024, 1024]) == "1,024, 1,024"
    assert as_written(1e-4) == "0.0001"


def test_the_list_of_departures_is_that_of_the_code():
    files = sorted((ROOT / "evc_jax").rglob("*.py"))
    in_code = Counter({str(file.relative_to(ROOT)): file.read_text().count("NOTE:") for file in files})
    on_page = Counter(cells[0].strip("`") for cells in rows(SECTIONS["Where the code says NOTE"]))
    assert +in_code == on_page, "give each NOTE: of the code its row in docs/reproduction.md"
