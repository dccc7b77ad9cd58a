"""What is measured is measured once, also when the program was killed while it wrote."""

import pytest

from evc_jax.evaluation.store import Store


def test_a_second_run_measures_nothing_again(tmp_path):
    first = Store(tmp_path, "x")
    assert first.get("a", lambda: {"value": float("nan"), "name": "ä"})["name"] == "ä"
    second = Store(tmp_path, "x")
    assert second.get("a", pytest.fail)["name"] == "ä" and second.reused == 1
    assert Store(tmp_path, "other").get("a", lambda: {"value": 2}) == {"value": 2}


def test_a_line_that_was_cut_off_is_measured_again(tmp_path):
    store = Store(tmp_path, "x")
    store.get("a", lambda: {"value": 1})
    store.get("b", lambda: {"value": 2})
    file = tmp_path / "measured-x.jsonl"
    file.write_text(file.read_text()[:-8])
    again = Store(tmp_path, "x")
    assert again.get("a", pytest.fail) == {"value": 1} and again.get("b", lambda: {"value": 3}) == {"value": 3}
    assert Store(tmp_path, "x").get("b", pytest.fail) == {"value": 3}
