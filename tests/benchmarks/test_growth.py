"""How cost grows: the page holds what was measured, and points are counted as they say."""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks import growth, growth_page, growth_points

ROOT = Path(__file__).resolve().parents[2]


def test_the_document_holds_what_the_script_prints(tmp_path, monkeypatch, capsys):
    plot = tmp_path / "performance.svg"
    measured = ROOT / "docs" / "measured_growth.json"
    monkeypatch.setattr(sys, "argv", ["x", "--measured", str(measured), "--plot", str(plot)])
    assert growth_page.main() == 0
    text = (ROOT / "docs" / "performance.md").read_text()
    tables = capsys.readouterr().out.strip().split("\n\n")
    assert len(tables) == 1 + len(growth_page.panels(json.loads(measured.read_text())["curves"]))
    for table in tables:
        assert table in text
    assert "<svg" in plot.read_text()


def test_every_measured_curve_is_one_of_the_benchmark():
    curves = json.loads((ROOT / "docs" / "measured_growth.json").read_text())["curves"]
    sizes = {curve.key: curve.sizes for curve in growth.CURVES}
    for key, curve in curves.items():
        assert {point["size"] for point in curve["points"]} <= set(sizes[key])


def test_limits_are_flops_and_bytes_over_speeds():
    curve = {"flops_per_s": 4.0, "bytes_per_s": 10.0}
    assert growth_page.limits_s(curve, {"flops": 8.0, "moved_bytes": 5}) == (2.0, 0.5)


def test_a_program_moves_what_it_is_given_and_returns():
    matrix = jnp.ones((64, 64))
    compiled = jax.jit(jnp.matmul).lower(matrix, matrix).compile()
    point = growth_points.program_cost(compiled, 7.0)
    assert point["flops"] == 7.0
    workspace = point["peak_bytes"] - 3 * matrix.nbytes
    assert workspace >= 0 and point["moved_bytes"] == 3 * matrix.nbytes + 2 * workspace


def test_one_batch_is_divided_among_devices():
    one, two = (growth_points.training_by_devices("voicegan", devices, 0, True) for devices in (1, 2))
    assert two["flops"] == one["flops"] / 2
    assert growth_points.training_by_devices("voicegan", 1 + jax.device_count(), 0, True) is None


def test_a_pattern_that_fits_nothing_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["x", "--only", "talk/*"])
    assert growth.main() == 2
    expected = "growth: --only is 'talk/*', which fits no curve; give a pattern of synthesis/small/batch, "
    assert capsys.readouterr().err.startswith(expected)


@pytest.mark.parametrize("content", ["[]", "{}", "no JSON"])
def test_a_file_without_curves_is_one_sentence(content, tmp_path, monkeypatch, capsys):
    file = tmp_path / "growth.json"
    file.write_text(content)
    monkeypatch.setattr(sys, "argv", ["x", "--measured", str(file)])
    assert growth_page.main() == 2
    expected = f"growth_page: {file} holds no curves; give a file that benchmarks.growth wrote.\n"
    assert capsys.readouterr().err == expected
