"""The report on transfer: the sources' rows are exact, the outputs' are measured."""

import re

import numpy as np
import pytest
from support.tiny_bundles import tiny_converter, tone

from evc_jax.conversion.options import TransferAspects
from evc_jax.errors import DataError
from evc_jax.evaluation import transfer
from evc_jax.evaluation.transfer import draw_pairs, evaluate_transfer


def record(speaker, text_id, f0_hz=140.0, seconds=0.5):
    audio = (tone(seconds, f0_hz=f0_hz) * 20_000).astype(np.int16)
    return {"audio": audio, "speaker": speaker, "text_id": text_id}


def test_pairs_are_one_sentence_by_two_speakers_and_sentences_take_turns():
    records = [{"speaker": s, "text_id": t, "take": i} for s in "ab" for t in "xy" for i in range(2)]
    pairs = draw_pairs(records + [{"speaker": "c", "text_id": "z"}], 6)
    assert len(pairs) == 6
    assert all(one["text_id"] == two["text_id"] and one["speaker"] != two["speaker"] for one, two in pairs)
    assert [one["text_id"] for one, _ in pairs] == ["x", "y"] * 3
    assert pairs == draw_pairs(records, 6) and draw_pairs(records[:1], 6) == []


def test_transfer_is_measured_beside_the_source_as_it_is(monkeypatch):
    chosen = [TransferAspects.parse(letters) for letters in ("R", "U", "FU")]
    monkeypatch.setattr(transfer, "all_aspects", lambda: chosen)
    records = [record("a", "x"), record("b", "x", 200.0, 0.7)]
    report = evaluate_transfer(tiny_converter(), records, pairs=1)
    rows = {
        name: [re.fullmatch(r"(\S+) \((\S+)\)", value).groups() for value in values] for name, *values in report.rows
    }
    assert list(rows) == ["R", "U", "FU"] and "1 pairs" in report.note
    sources = {name: [float(source) for _, source in values] for name, values in rows.items()}
    # The source owns what it keeps: there it is perfect as it is, and only there.
    assert sources["R"][:2] == [1, 1] and sources["FU"][2] == 0 < sources["R"][2]
    assert sources["U"][1] == sources["FU"][1] < 0.999
    assert str(report).count("\n| ") == 4 and "\n| FU " in str(report)


def test_no_sentence_by_two_speakers():
    with pytest.raises(DataError, match="No sentence is recorded by two speakers; give a dataset with parallel"):
        evaluate_transfer(tiny_converter(), [record("a", "x"), record("a", "x"), record("b", "y")])
