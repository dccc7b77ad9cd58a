"""A bundle for one speaker has only what became better on held-out speech, and else stays as it is."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest
from support.own_voice import RATE_HZ, speech

from evc_jax.conversion.converter import Converter
from evc_jax.models.speechsplit.config import ENCODERS
from evc_jax.pretrained.bundle import DESCRIPTION_FILE, load_bundle
from evc_jax.training import adaptation, held_out_figures, loop
from evc_jax.training.adaptation import adapt
from evc_jax.training.held_out_figures import Figure, better_parts

pytestmark = pytest.mark.usefixtures("quick_programs")


@pytest.fixture
def run(tmp_path, tiny_bundle, messy_speech, monkeypatch):
    """Adapts the tiny bundle, whose conversions are near to nobody; its decoder with two steps where there is time."""
    prepared, _ = messy_speech
    monkeypatch.setattr(adaptation, "read_own_speech", lambda *_: prepared)
    monkeypatch.setattr(held_out_figures, "_conversions", lambda converter, voices: [prepared.held_out[0].audio])
    monkeypatch.setattr(held_out_figures, "REBUILT_PIECES", 1)
    monkeypatch.setattr(held_out_figures.judges, "is_installed", lambda module: False)
    steps = {"steps": 2, "minutes": 0.0}
    monkeypatch.setattr(adaptation, "train", lambda config, *a: loop.train(dataclasses.replace(config, **steps), *a))
    return functools.partial(adapt, ["me"], tmp_path / "adapted", name="me", bundle=tiny_bundle)


@pytest.mark.slow
def test_what_became_better_is_in_the_new_bundle(run, tmp_path, tiny_bundle, monkeypatch):
    monkeypatch.setattr(adaptation, "better_parts", lambda figures: tuple(dict.fromkeys(f.part for f in figures)))
    result = run(minutes=60)
    assert result.steps == 2 and result.held_out >= 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapted"]
    assert json.loads((tmp_path / "adapted" / "adaptation.json").read_text())["better"] == list(result.better)
    old, new = load_bundle(tiny_bundle), load_bundle(tmp_path / "adapted")
    before, after = (bundle.network("speechsplit").params for bundle in (old, new))
    jax.tree.map(np.testing.assert_array_equal, *({part: each[part] for part in ENCODERS} for each in (before, after)))
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), before["decoder"], after["decoder"])
    assert any(jax.tree.leaves(changed))
    assert new.description["networks"]["speechsplit"]["steps"] == 2
    *others, owned = new.description["data"]
    assert others == old.description["data"] and owned["name"] == "recordings of me"
    conversion = Converter(new).convert(speech()[: 2 * RATE_HZ], RATE_HZ, voice="me")
    np.testing.assert_array_equal(conversion.embedding, new.voices["me"].embedding)
    assert new.voices["me"].spectrum_db is not None


def test_without_time_the_voice_alone_is_measured(run, tmp_path, tiny_bundle):
    result = run(minutes=0)
    assert result.steps == 0 and "voice" in result.better
    figure = result.figures[0]
    assert figure.after > figure.before
    old, new = load_bundle(tiny_bundle).description, load_bundle(tmp_path / "adapted").description
    assert new["networks"] == old["networks"] and list(new["voices"]) == ["me"]


def test_where_nothing_became_better_the_old_bundle_stays(run, tmp_path):
    run(minutes=0)
    before = (tmp_path / "adapted" / DESCRIPTION_FILE).read_bytes()
    # The same recordings cannot make the voice better a second time.
    assert not run(minutes=0).better
    assert (tmp_path / "adapted" / DESCRIPTION_FILE).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapted"]


def test_a_part_is_better_if_nothing_of_it_is_worse():
    figures = [
        Figure("voice", "a", 0.5, 0.6),
        Figure("voice", "b", 0.5, 0.5),
        Figure("voice", "c", 0.5, 0.1, decides=False),
        Figure("register", "d", 2.0, 1.0, higher_is_better=False),
        Figure("decoder", "e", 2.0, 1.0, higher_is_better=False),
        Figure("decoder", "f", 0.5, 0.4),
        Figure("spectrum", "g", 1.0, 1.0),
        Figure("lost", "h", 1.0, float("nan")),
    ]
    assert better_parts(figures) == ("voice", "register")
