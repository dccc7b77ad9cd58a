"""The vocoders of bundles and of trainings, and their copies."""

import numpy as np
import pytest
from support.tiny_bundles import CONFIGS, random_params, tiny_converter, tone

from evc_jax.audio.config import AudioConfig
from evc_jax.config import to_mapping
from evc_jax.errors import ConfigError
from evc_jax.evaluation import vocoders
from evc_jax.evaluation.vocoders import bundle_vocoders, copy_synthesis, load_training
from evc_jax.pretrained.workdir import Trained


@pytest.fixture
def training(monkeypatch):
    """Changes what lies in every work directory: a converted WaveGlow by default."""

    def put(name="waveglow", audio=AudioConfig()):
        config = {"data": {"datasets": []}, "audio": to_mapping(audio)}
        run = Trained(name, config, {name: CONFIGS[name]}, random_params((name,), seed=1), 1234, {})
        monkeypatch.setattr(vocoders, "load_for_inference", lambda _: run)

    put()
    return put


def test_a_bundle_s_copies_are_measured():
    errors = copy_synthesis(tiny_converter().bundle, [tone(0.6, seed=seed) for seed in range(2)])
    assert list(errors) == ["griffin-lim", "waveglow"]
    assert errors["griffin-lim"] < 0.03 < errors["waveglow"]  # whose parameters are random


def test_a_training_is_another_vocoder(training):
    bundle = tiny_converter().bundle
    name, trained = load_training("runs/light", bundle.audio)
    assert name == "runs/light after 1,234 steps"
    mel = np.full((20, 80), 0.5, np.float32)
    assert not np.array_equal(trained(mel, 4000, 0), bundle_vocoders(bundle)["waveglow"](mel, 4000, 0))


def test_trainings_that_are_none_of_the_bundle(training):
    training("voicegan")
    with pytest.raises(ConfigError, match="runs/other holds a training of voicegan; give one of waveglow"):
        load_training("runs/other", AudioConfig())
    training(audio=AudioConfig(gain=0.5))
    with pytest.raises(ConfigError, match="runs/other was trained on spectrograms with other settings than the bundle"):
        load_training("runs/other", AudioConfig())
