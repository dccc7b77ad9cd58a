"""The notebook runs from its first cell to its last, and what is saved of it is small."""

from pathlib import Path

import pytest
from support.scripts import load_script

pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def run_tour():
    return load_script("scripts/run_tour.py")


@pytest.mark.slow
def test_the_tour(run_tour, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    made = run_tour.without_sound(run_tour.run(run_tour.NOTEBOOK, tmp_path))
    pictures = [
        output for cell in made.cells for output in cell.get("outputs", ()) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 5
    assert "angry" in made.cells[-2].outputs[-1].data["text/plain"]  # of the bundle that the tour made
    assert len(nbformat.writes(made)) < 700_000


def test_the_saved_notebook_has_its_output(run_tour):
    saved = nbformat.read(run_tour.NOTEBOOK, as_version=4)
    nbformat.validate(saved)
    code = [cell for cell in saved.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any("error" in (output.output_type for output in cell.outputs) for cell in code)
    assert run_tour.NOTEBOOK.stat().st_size < 700_000
