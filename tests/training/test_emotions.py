"""Emotions that a config leaves open are those of the data, and stay those of the training."""

import json

import pytest
from etils import epath
from support.buzzers import prepare_buzzers
from support.tiny_systems import load_config

from evc_jax.errors import DataError
from evc_jax.training.config import DataConfig
from evc_jax.training.emotions import emotions_of_data, with_emotions
from evc_jax.training.loop import train


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return str(prepare_buzzers(tmp_path_factory.mktemp("buzzers")))


@pytest.mark.usefixtures("quick_programs")
def test_a_training_finds_them_says_so_and_keeps_them(data_dir, tmp_path, capsys):
    often = {"log_every": 1, "validate_every": 1, "checkpoint_every": 1}
    config = load_config("prosody", data={"data_dir": data_dir, "datasets": ("ravdess",)}, steps=1, **often)
    train(config, tmp_path)
    assert "emotions: calm, angry (those of ravdess)" in capsys.readouterr().out
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["options"]["emotions"] == ["calm", "angry"]
    settled, note = with_emotions(config, epath.Path(tmp_path))
    assert settled.options["emotions"] == ["calm", "angry"] and note == "emotions: calm, angry (those of this training)"


def test_a_config_that_names_them_or_has_none_is_left_as_it_is(tmp_path):
    for name, options in (("prosody", {"emotions": ("sad", "angry")}), ("waveglow", {})):
        config = load_config(name, options=options)
        assert with_emotions(config, epath.Path(tmp_path)) == (config, "")


def test_data_without_two_emotions_is_refused(monkeypatch):
    records = [{"emotion": name} for name in ("unknown", "sad", "sad")]
    monkeypatch.setattr("evc_jax.training.emotions.open_split", lambda *_, **__: records)
    with pytest.raises(DataError, match="The train split of a, b has no two emotions .it has 2 sad, 1 unknown.; add a"):
        emotions_of_data(DataConfig("data", ("a", "b")))
