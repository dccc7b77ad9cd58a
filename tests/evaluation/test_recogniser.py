"""The recogniser tells invented actors' emotions apart, relative to each one's own neutral recordings."""

import numpy as np
import pytest
from support.acted_speech import ACTED, acted_speech

from evc_jax.audio.io import from_pcm
from evc_jax.errors import ConfigError, DataError
from evc_jax.evaluation import judges
from evc_jax.evaluation.recogniser import Recogniser
from evc_jax.evaluation.speech import Speech

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def speech():
    return acted_speech()


@pytest.fixture(scope="module")
def recogniser(speech):
    return Recogniser.train(speech)


def test_emotions_of_an_actor_who_did_not_train(speech, recogniser):
    assert recogniser.four["acted"].recall > 0.9 and recogniser.every["acted"].classes == tuple(sorted(ACTED))
    for record in speech.judged:
        asked = record["emotion"]
        found = recogniser.recognise(from_pcm(record["audio"]), record["f0_hz"], record, asked)
        assert (found.of_four, found.of_all) == (asked, asked)
        assert 0.25 < found.certainty < 1


def test_functionals_are_kept(speech, recogniser, tmp_path, monkeypatch):
    Recogniser.train(speech, tmp_path)
    seen = []
    monkeypatch.setattr("evc_jax.evaluation.recogniser.functionals", lambda *_: seen.append(1))
    again = Recogniser.train(speech, tmp_path)
    assert not seen and np.array_equal(again.scale, recogniser.scale)


def test_what_it_cannot_be_trained_on(speech):
    lonely = Speech(speech.config, [r for r in speech.training if r["speaker"] == "acted-0"], speech.judged)
    with pytest.raises(DataError, match="The training split of acted has too few speakers or emotions"):
        Recogniser.train(lonely)
    loud = Speech(speech.config, [r for r in speech.training if r["emotion"] != "neutral"], speech.judged)
    with pytest.raises(DataError, match="No training speaker has neutral recordings"):
        Recogniser.train(loud)


def test_without_scikit_learn(speech, monkeypatch):
    monkeypatch.setattr(judges, "is_installed", lambda module: False)
    with pytest.raises(ConfigError, match=r"needs scikit-learn; pip install 'evc_jax\[evaluation\]'"):
        Recogniser.train(speech)
