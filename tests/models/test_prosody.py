"""The prosody network: shapes, any length, and dropout in training only."""

import jax
import numpy as np
import pytest

from evc_jax.errors import ConfigError
from evc_jax.features import prosody as prosody_features
from evc_jax.models.network import Network
from evc_jax.models.prosody import ProsodyConfig, ProsodyNetwork

CONFIG = ProsodyConfig(emotions=3, width=8, layers=2)


@pytest.fixture(scope="module")
def network():
    network = Network(ProsodyNetwork, CONFIG)
    return network, network.init(jax.random.key(0))


def inputs(frames, batch=2):
    draw = np.random.default_rng(0)
    track = draw.normal(size=(batch, frames, CONFIG.track_channels)).astype(np.float32)
    summary = draw.normal(size=(batch, CONFIG.summary_channels)).astype(np.float32)
    return track, summary, np.eye(3, dtype=np.float32)[:batch]


@pytest.mark.parametrize("frames", [1, 6, 7])
def test_a_change_in_every_frame(network, frames):
    network, params = network
    assert network.apply(params, *inputs(frames)).shape == (2, frames, prosody_features.CHANGE_CHANNELS)


def test_dropout_is_for_training(network):
    network, params = network
    plain = network.apply(params, *inputs(8))
    np.testing.assert_array_equal(plain, network.apply(params, *inputs(8)))
    one, two = (network.apply(params, *inputs(8), key=jax.random.key(seed)) for seed in (1, 2))
    assert np.abs(one - two).max() > 1e-3


def test_impossible_sizes():
    for sizes in ({"kernel": 2}, {"layers": 0}, {"dropout": 1.0}):
        with pytest.raises(ConfigError):
            ProsodyConfig(**sizes)


def test_it_reads_what_is_measured():
    features = (prosody_features.TRACK_CHANNELS, prosody_features.SUMMARY_CHANNELS, prosody_features.CEPSTRA)
    assert (CONFIG.track_channels, CONFIG.summary_channels, CONFIG.cepstra) == features
