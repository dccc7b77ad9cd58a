"""The page is one file that fetches nothing, and says what it was given."""

from evc_jax.evaluation.bootstrap import Estimate
from evc_jax.evaluation.page import render_page
from evc_jax.evaluation.report import Players, Section, Table, as_json

NAN = float("nan")
TABLE = Table(
    "T", ("", "x"), (".2f",), [("<a>", [Estimate(0.5, 0.25, 1, 3, 2)]), ("b", [Estimate(NAN, NAN, NAN, 0, 0)])]
)
SECTION = Section("s", "A & B", ["text"], [TABLE], [("plot.png", "caption")], [Players("p", [("one", "sound/1.flac")])])


def test_figures_intervals_players_and_pictures():
    page = render_page("Title", ["intro"], [SECTION])
    assert "<td>0.50<small>0.25 to 1.00</small></td>" in page and "<td>-</td>" in page
    assert 'src="sound/1.flac"' in page and 'src="plot.png"' in page
    assert "&lt;a&gt;" in page and "<a>" not in page and "A &amp; B" in page
    assert "http" not in page and "<script" not in page


def test_json_has_no_nan():
    rows = SECTION.to_json()["tables"][0]["rows"]
    assert rows["<a>"] == [{"mean": 0.5, "low": 0.25, "high": 1, "recordings": 3, "speakers": 2}]
    assert rows["b"][0]["mean"] is None and as_json({"a": [float("inf"), "x"]}) == {"a": [None, "x"]}
