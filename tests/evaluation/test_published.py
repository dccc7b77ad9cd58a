"""The figures that a bundle carries: read in short, or one sentence where they are damaged."""

import pytest

from evc_jax.errors import BundleError
from evc_jax.evaluation.page import render_section
from evc_jax.evaluation.published import published_section
from evc_jax.pretrained.bundle import embedded_path


def test_the_embedded_bundle_carries_its_figures():
    section = published_section(embedded_path())
    emotion, voices = section.tables
    figures = dict(emotion.rows)
    assert figures["the recording itself"][1].mean == pytest.approx(1, abs=1e-3)
    for name in ("rules, strength 1", "bundle, strength 1", "real emotional speech"):
        recognised = figures[name][0]
        assert 0 < recognised.low <= recognised.mean <= recognised.high < 1 and recognised.recordings > 10
    assert dict(voices.rows)["bundle"][2].mean > 0.5  # nearer to the reference than to the source
    text = render_section(section)
    assert "<td>bundle, strength 1</td>" in text and "second verifier" in text


def test_a_bundle_without_figures_has_no_section(tmp_path):
    assert published_section(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"sections": {"emotion": {"tables": [{}]}}}', '{"split": "test", "sections": {}}']
)
def test_damaged_figures_are_one_sentence(text, tmp_path):
    (tmp_path / "evaluation.json").write_text(text)
    with pytest.raises(BundleError, match=r"evaluation\.json does not hold what `evc evaluate` writes .*; copy it"):
        published_section(tmp_path)
