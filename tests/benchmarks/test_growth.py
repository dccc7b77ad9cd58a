"""How cost grows and what a step costs: the pages hold what the programs print, and points are counted as they say."""

import dataclasses
import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks import growth, step_costs
from benchmarks.systems import load_config
from evc_jax.training.config import SYSTEMS

DOCS = Path(__file__).resolve().parents[2] / "docs"
MEASURED = DOCS / "measured_growth.json"


def _run(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["x", *map(str, options)])
    return growth.main()


def test_the_page_holds_what_was_measured(tmp_path, monkeypatch, capsys):
    plot = tmp_path / "performance.svg"
    assert _run(monkeypatch, "--json", MEASURED, "--show", "--plot", plot) == 0
    table = capsys.readouterr().out.strip()
    curves = json.loads(MEASURED.read_text())["curves"]
    assert len(table.splitlines()) == 2 + sum(len(curve["points"]) for curve in curves.values())
    assert table in (DOCS / "performance.md").read_text()
    assert "training by devices" in plot.read_text()


def test_every_measured_curve_is_one_of_the_benchmark():
    for key, curve in json.loads(MEASURED.read_text())["curves"].items():
        assert {point["size"] for point in curve["points"]} <= set(growth.CURVES[key])


def test_limits_are_flops_and_bytes_over_speeds():
    curve = {"flops_per_s": 4.0, "bytes_per_s": 10.0}
    assert growth.limits_s(curve, {"flops": 8.0, "moved_bytes": 5}) == (2.0, 0.5)
    assert growth.limits_s(curve, {}) == ()


def test_a_program_moves_what_it_is_given_and_returns():
    matrix = jnp.ones((64, 64))
    compiled = jax.jit(jnp.matmul).lower(matrix, matrix).compile()
    point = growth.program_point(compiled, 7.0, lambda: compiled(matrix, matrix), 0, True)
    assert point["flops"] == 7.0 and point["seconds"] > 0
    workspace = point["peak_bytes"] - 3 * matrix.nbytes
    assert workspace >= 0 and point["moved_bytes"] == 3 * matrix.nbytes + 2 * workspace


@pytest.mark.slow
@pytest.mark.release
def test_one_batch_is_divided_among_devices():
    one, two = (growth.training_by_devices("voicegan", devices, 0, True) for devices in (1, 2))
    assert two["flops"] == one["flops"] / 2
    assert growth.training_by_devices("voicegan", 1 + jax.device_count(), 0, True) is None


def test_a_pattern_that_fits_nothing_is_one_sentence(monkeypatch, capsys):
    assert _run(monkeypatch, "--only", "talk/*") == 2
    expected = "growth: --only is 'talk/*', which fits no curve; give a pattern of conversion/griffin-lim/length, "
    assert capsys.readouterr().err.startswith(expected)


@pytest.mark.parametrize("content", ["[]", "{}", "no JSON"])
def test_a_file_without_curves_is_one_sentence(content, tmp_path, monkeypatch, capsys):
    file = tmp_path / "growth.json"
    file.write_text(content)
    assert _run(monkeypatch, "--show", "--json", file) == 2
    assert capsys.readouterr().err == f"growth: {file} holds no curves; give a file that this benchmark wrote.\n"


@pytest.mark.parametrize("name", ["f0_converter", "voicegan"])
def test_a_step_averages_the_gradients_of_every_update(name):
    config = load_config(name, "tiny")
    cost, updates = step_costs.step_cost(config), 5 if name == "voicegan" else 0
    assert cost.samples == config.batch_size * max(1, updates)
    assert cost.flops > 2 * cost.parameters and cost.state_bytes > 3 * 4 * cost.parameters
    if not updates:
        assert 4 * cost.parameters <= cost.reduced_bytes <= 4 * cost.parameters + 64  # and metrics


def test_accumulation_doubles_the_work_but_not_the_communication():
    config = load_config("voicegan", "tiny")
    once, twice = (step_costs.step_cost(dataclasses.replace(config, accumulate=number)) for number in (1, 2))
    assert twice.flops == pytest.approx(2 * once.flops, rel=1e-6) and twice.input_bytes == 2 * once.input_bytes
    assert twice.reduced_bytes == pytest.approx(once.reduced_bytes, rel=1e-2)


@pytest.mark.slow
@pytest.mark.release
def test_the_page_holds_the_costs_of_a_step():
    table = step_costs.table({name: step_costs.step_cost(load_config(name)) for name in SYSTEMS})
    assert table in (DOCS / "scaling.md").read_text()
