"""The change of timbre: the target comes nearer, recordings of any length pass."""

import jax
import numpy as np
import pytest
from support import tiny_bundles
from support.vowels import sung_vowel

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import load
from evc_jax.audio.mel import mel_filters
from evc_jax.conversion.timbre import timbre_change_db
from evc_jax.features import speaker
from evc_jax.features.extract import extract
from evc_jax.models.network import Network
from evc_jax.models.timbre_converter import TimbreConverter, TimbreConverterConfig
from evc_jax.pretrained.bundle import TrainedNetwork, load_bundle, save_bundle

CONFIG = AudioConfig()


@pytest.fixture(scope="module")
def converter():
    """A network that proposes no change but the warp."""
    network = Network(TimbreConverter, TimbreConverterConfig(width=8, blocks=1, cosines=12))
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), network.shapes())
    return TrainedNetwork(network, params)


def _filtered(audio, response_db):
    bins_hz = np.fft.rfftfreq(len(audio), 1 / CONFIG.sample_rate_hz)
    centres_hz = np.argmax(mel_filters(CONFIG), axis=1) * CONFIG.sample_rate_hz / CONFIG.window_samples
    response = 10 ** (np.interp(bins_hz, centres_hz, response_db) / 20)
    return np.fft.irfft(np.fft.rfft(audio) * response, len(audio)).astype(np.float32)


def test_refinement_brings_a_recording_nearer_to_the_target(converter, data_dir):
    files = (min((data_dir / "ljspeech" / "wavs").glob("*.flac")), min((data_dir / "ravdess").glob("Actor_01/*.flac")))
    source, other = (extract(load(file, 16000)[: 4 * 16000], 16000, CONFIG) for file in files)
    change_db = timbre_change_db(source, other.embedding, 0.0, converter, CONFIG)
    assert change_db.shape == source.mel.shape
    # Without a change of the network's, the filter is constant.
    np.testing.assert_allclose(change_db, np.broadcast_to(change_db[:1], change_db.shape), atol=1e-3)
    changed = speaker.embed(_filtered(source.audio, change_db[0]))
    assert changed @ other.embedding > source.embedding @ other.embedding + 0.1


def test_nothing_is_proposed_and_nothing_refined(converter):
    source = extract(sung_vowel(150.0), 16000, CONFIG)
    other = np.roll(source.embedding, 1)
    change_db = timbre_change_db(source, other, 0.0, converter, CONFIG, refinements=0)
    np.testing.assert_allclose(change_db, 0, atol=1e-3)
    assert np.abs(timbre_change_db(source, other, 0.3, converter, CONFIG, refinements=0)).max() > 1


@pytest.mark.parametrize("seconds", [0.3, 1.61, 5.0])
def test_any_length_passes(seconds, converter):
    source = extract(sung_vowel(150.0, seconds=seconds), 16000, CONFIG)
    change_db = timbre_change_db(source, np.roll(source.embedding, 1), 0.1, converter, CONFIG, refinements=1)
    assert change_db.shape == source.mel.shape and np.isfinite(change_db).all()


def test_a_bundle_holds_the_network(converter, tmp_path):
    config = {"width": 8, "blocks": 1, "cosines": 12}
    description = tiny_bundles.description(()) | {"networks": {"timbre_converter": {"config": config}}}
    save_bundle(tmp_path / "bundle", description, {"timbre_converter": converter.params})
    loaded = load_bundle(tmp_path / "bundle").network("timbre_converter")
    assert loaded.network.config == converter.network.config
    jax.tree.map(np.testing.assert_array_equal, loaded.params, converter.params)
