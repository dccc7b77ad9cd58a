"""A whole evaluation of a tiny bundle on invented actors: page, figures, resuming, and what cannot be measured."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from support.acted_speech import acted_speech, write_acted
from support.tiny_bundles import tiny_converter, write_bundle
from support.tiny_corpora import embed

from evc_jax.conversion.converter import Converter
from evc_jax.data.prepare.builder import prepare
from evc_jax.errors import BundleError, ConfigError, DataError
from evc_jax.evaluation import judges
from evc_jax.evaluation.published import published_section
from evc_jax.evaluation.run import evaluate
from evc_jax.evaluation.scoring import Sample, Scorer, summarise, summary_table
from evc_jax.evaluation.sections import controls
from evc_jax.evaluation.settings import SECTIONS, EvaluationSettings
from evc_jax.evaluation.speech import Speech

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    root = tmp_path_factory.mktemp("acted")
    table = write_acted(root / "corpus")
    prepare("manifest", table, root / "datasets", dataset_name="acted", embedder=embed, workers=1, progress=False)
    return root / "datasets"


@pytest.fixture
def without_judges(monkeypatch):
    """scikit-learn alone is installed; the others would take a second for each recording."""
    monkeypatch.setattr(judges, "is_installed", lambda module: module == "sklearn")


@pytest.fixture
def settings(datasets, tmp_path):
    return EvaluationSettings(str(datasets), "acted", tmp_path / "page", strengths=(1.0,), recordings=1, quick=True)


def test_the_page_its_figures_and_a_second_run(settings, without_judges, monkeypatch):
    monkeypatch.setattr(controls, "CONTROLS", controls.CONTROLS[2:4])  # rate and loudness
    settings, lines = dataclasses.replace(settings, sections=SECTIONS), []
    evaluate(tiny_converter(), settings, log=lines.append)
    assert lines[0].startswith("not measured: quality of sound") and "pip install 'evc_jax[evaluation]'" in lines[0]
    page = (settings.output / "index.html").read_text()
    assert all(f'<section id="{name}">' in page for name in SECTIONS) and "http" not in page and "not measured" in page
    for file in page.split('src="')[1:]:
        assert (settings.output / file.split('"')[0]).is_file()
    figures = json.loads((settings.output / "evaluation.json").read_text())
    tables = {table["title"]: table["rows"] for part in figures["sections"].values() for table in part["tables"]}
    recognised = {name: row[0]["mean"] for name, row in tables["Emotion recognised"].items()}
    assert recognised["real emotional speech"] == 1 and recognised["the recording itself"] == 0
    assert recognised["rules, strength 1"] >= 0.5 and 0 <= recognised["bundle, strength 1"] <= 1
    assert tables["Voice kept"]["the recording itself"][0]["mean"] == pytest.approx(1, abs=1e-4)
    assert tables["Voice kept"]["WORLD copy"][1]["mean"] is None  # the second verifier is not installed
    moved = {name: [cell["mean"] for cell in row] for name, row in tables["What each control moves"].items()}
    assert moved["rate"][2] == pytest.approx(1, abs=0.01) and moved["loudness"][2:4] == pytest.approx([0, 1], abs=1e-3)
    assert tables["Each control at several settings"]["rate 0.8"][1]["mean"] == pytest.approx(-1, abs=0.01)
    assert "What each control moves on top of the emotion happy" in tables
    assert tables["Copy synthesis"]["the recording itself"][0]["mean"] == 0
    # A bundle that carries the file shows the same figures.
    published = {table.title: dict(table.rows) for table in published_section(settings.output).tables}
    assert published["Emotion and voice"]["rules, strength 1"][0].mean == recognised["rules, strength 1"]
    # What was measured is not made again, with the figures in the bundle neither.
    monkeypatch.setattr(Converter, "convert_features", lambda *_: pytest.fail("converted again"))
    carried = tiny_converter().bundle.path / "evaluation.json"
    shutil.copyfile(settings.output / "evaluation.json", carried)
    try:
        evaluate(tiny_converter(), settings, log=lines.append)
    finally:
        carried.unlink()
    assert (settings.output / "index.html").read_text() == page


def test_the_speech_of_a_dataset(datasets):
    test, validation = (Speech.open(datasets, "acted", split) for split in ("test", "validation"))
    judged = [{record["speaker"] for record in speech.judged} for speech in (test, validation)]
    assert len(judged[0]) == len(judged[1]) == 1 and judged[0] != judged[1]
    assert sorted(s["text_id"] for s in test.sources(2)) == ["acted-sentence 1", "acted-sentence 2"]
    assert test.emotions() == ("happy", "sad", "angry") and len(test.sources(9)) == 4
    chosen = Speech.open(datasets, "acted", speakers=["acted-0", "acted-3"])
    assert {record["speaker"] for record in chosen.judged} == {"acted-0", "acted-3"}
    assert not {"acted-0", "acted-3"} & {record["speaker"] for record in chosen.training}
    with pytest.raises(DataError, match="There is no speaker acted-9 in acted"):
        Speech.open(datasets, "acted", speakers=["acted-0", "acted-9"])


def test_scores_from_a_script():
    speech = acted_speech()
    scorer = Scorer(speech, with_judges=False)
    sources = speech.sources(2)
    rows = {"rules": scorer.score(scorer.rule_samples(sources)), "real": scorer.score(scorer.real_samples(sources))}
    loud = scorer.measure(Sample(3 * np.float32(sources[0]["audio"]) / 32768, sources[0], "happy"))
    assert loud["of_four"] == "neutral" and loud["recall"] == 0 and loud["voice"] == pytest.approx(1, abs=0.01)
    rules, real = summarise(rows["rules"]), summarise(rows["real"])
    assert rules["recall"].mean > 0.8 and real["recall"].mean == 1
    assert real["own_f0_semitones"].mean < rules["own_f0_semitones"].mean < loud["own_f0_semitones"]
    assert summary_table(rows).count("\n") == 3 and "1.00 (1.00 to 1.00)" in summary_table(rows)


def test_what_cannot_be_evaluated(settings, without_judges, tmp_path, monkeypatch):
    voice_only = Converter.load(write_bundle(tmp_path / "plain", ("speechsplit",)))
    with pytest.raises(BundleError, match="converts none of the emotions"):
        evaluate(voice_only, settings)
    with pytest.raises(ConfigError, match="There is no section 'taste'; choose from emotion, voice"):
        dataclasses.replace(settings, sections=("taste",))
    with pytest.raises(ConfigError, match="The strengths are"):
        dataclasses.replace(settings, strengths=(0.0,))
    monkeypatch.setattr(Speech, "sources", lambda *_: [])
    with pytest.raises(DataError, match="No recording is neutral, which conversions start from"):
        evaluate(tiny_converter(), settings)
