"""Markdown tables: columns that line up, and numbers that could not be measured."""

import pytest

from evc_jax.evaluation.tables import cell, markdown_table


def test_columns_line_up():
    lines = markdown_table(["", "n"], [["one", "1,230"], ["b", "0.0234"]]).splitlines()
    assert lines == ["|     |      n |", "| --- | -----: |", "| one |  1,230 |", "| b   | 0.0234 |"]
    assert markdown_table(["a"], []) == "| a |\n| - |"


def test_every_row_has_a_cell_per_column():
    with pytest.raises(ValueError, match="zip"):
        markdown_table(["a", "b"], [["one"]])


def test_what_was_not_measured_is_a_dash():
    assert cell(float("nan"), "+.1f") == "-" and cell(1, "+.1f") == "+1.0"
