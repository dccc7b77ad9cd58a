"""CITATION.cff has what the Citation File Format 1.2 requires, and the papers that the code names."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def check_entry(entry: dict) -> None:
    """What a work and each of its authors must have."""
    assert isinstance(entry["title"], str) and entry["title"]
    assert entry["authors"]
    for author in entry["authors"]:
        assert author.keys() <= {"name"} or author.keys() <= {"family-names", "given-names", "alias"}
        assert author and all(isinstance(value, str) and value for value in author.values())


def test_the_keys_that_the_format_requires():
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["message"]
    check_entry(CITATION)
    licences = re.search(r"^license = (.+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)[1].split(" AND ")
    assert CITATION["license"] == licences[0]  # of the code
    assert re.fullmatch(r"\d+\.\d+\.\d+", CITATION["version"])


def test_references_have_type_title_and_authors():
    for reference in CITATION["references"]:
        assert reference["type"] in {"article", "conference-paper", "software"}
        check_entry(reference)


def test_the_networks_name_the_papers_that_are_cited():
    identifiers = [entry["value"] for reference in CITATION["references"] for entry in reference.get("identifiers", ())]
    cited = {identifier.removeprefix("arXiv:") for identifier in identifiers}
    models = (ROOT / "evc_jax" / "models").rglob("*.py")
    named = {number for file in models for number in re.findall(r"\b\d{4}\.\d{5}\b", file.read_text())}
    assert len(cited) >= 6
    assert cited <= named
