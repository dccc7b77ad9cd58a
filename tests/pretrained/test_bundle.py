"""A bundle survives saving and loading, and one sentence names why it cannot be loaded."""

import json
import shutil

import jax
import numpy as np
import pytest
from support.tiny_bundles import EMOTIONS, description, random_params, write_bundle

from evc_jax.audio.config import AudioConfig
from evc_jax.errors import BundleError
from evc_jax.pretrained.bundle import embedded_path, load_bundle, save_bundle
from evc_jax.pretrained.description import DESCRIPTION_FILE, FORMAT


def edit(bundle, **changes):
    file = bundle / DESCRIPTION_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture
def small(tmp_path):
    return write_bundle(tmp_path / "bundle", names=("voicegan",))


def test_parameters_and_description_come_back(tiny_bundle):
    bundle = load_bundle(tiny_bundle)
    assert bundle.emotions == EMOTIONS
    assert bundle.audio == AudioConfig()
    for name, tree in random_params().items():
        loaded = bundle.network(name).params
        assert jax.tree.structure(loaded) == jax.tree.structure(tree)
        jax.tree.map(np.testing.assert_array_equal, loaded, tree)


def test_networks_are_read_once(small):
    bundle = load_bundle(small)
    assert not bundle.networks
    assert bundle.network("voicegan") is bundle.network("voicegan")


def test_float16_storage_is_float32_again_when_read(tmp_path):
    params = random_params(("voicegan",))
    path = save_bundle(tmp_path / "half", description(("voicegan",)), params, storage_dtype="float16")
    loaded = load_bundle(path).network("voicegan").params
    for leaf, original in zip(jax.tree.leaves(loaded), jax.tree.leaves(params["voicegan"]), strict=True):
        assert leaf.dtype == np.float32
        np.testing.assert_allclose(leaf, original, rtol=1e-3, atol=1e-4)


def test_saving_replaces_a_bundle_and_leaves_nothing_beside_it(tmp_path, small):
    write_bundle(small, names=("voicegan",), seed=1)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    first = jax.tree.leaves(load_bundle(small).network("voicegan").params)[-1]
    np.testing.assert_array_equal(first, jax.tree.leaves(random_params(("voicegan",), seed=1))[-1])


def test_a_failed_save_leaves_the_old_bundle(tmp_path, small, monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_bundle(small, names=("voicegan",), seed=1)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    load_bundle(small).network("voicegan")


def test_a_folder_that_is_no_bundle_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(BundleError, match="is not a bundle"):
        write_bundle(tmp_path, names=("voicegan",))


def test_parameters_and_description_must_match(tmp_path):
    with pytest.raises(BundleError, match="give both for each"):
        save_bundle(tmp_path / "b", description(("voicegan",)), {})


def test_missing(tmp_path):
    with pytest.raises(BundleError, match="There is no bundle directory at"):
        load_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="is not a bundle, it has no bundle.json"):
        load_bundle(tmp_path)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"format": FORMAT + 1}, "upgrade evc_jax"),
        ({"audio": {"sample_rate": 16000}}, "has no key 'sample_rate'; name one of sample_rate_hz"),
        ({"audio": None}, "no valid 'audio'"),
        ({"emotions": "happy"}, "no valid 'emotions'"),
        ({"code": "timbre"}, "code is 'timbre'"),
        ({"networks": {"gpt": {"config": {}}}}, "unknown networks gpt"),
        ({"networks": {"codegan": {"config": {"emotions": 9}}}}, "codegan has 9 emotions but 3 are named"),
    ],
)
def test_bad_descriptions(small, changes, message):
    edit(small, **changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(small)


@pytest.mark.parametrize(
    "stored",
    [
        "me",
        {"me": {}},
        {"me": {"embedding": [1.0]}},
        {"me": {"embedding": [1.0] * 256, "log_f0_mean": 5.0, "log_f0_std": 0.0}},
        {"me": {"embedding": [1.0] * 256, "spectrum_db": [30.0] * 7}},
    ],
)
def test_damaged_voices(small, stored):
    edit(small, voices=stored)
    with pytest.raises(BundleError, match="is damaged: its voices cannot be read"):
        _ = load_bundle(small).voices


def test_description_cut_short(small):
    (small / DESCRIPTION_FILE).write_text('{"format": 1, ')
    with pytest.raises(BundleError, match="is damaged: bundle.json cannot be read"):
        load_bundle(small)


@pytest.mark.parametrize("name", ["register", "emotion_classifier"])
def test_weights_in_the_description_that_are_damaged(small, name):
    assert getattr(load_bundle(small), name) is None
    edit(small, **{name: {"rows": "x"}})
    with pytest.raises(BundleError, match=f"is damaged: its {name} holds no weights"):
        getattr(load_bundle(small), name)


@pytest.mark.skipif(not embedded_path().is_dir(), reason="the package has no bundle")
def test_the_embedded_bundle_tells_its_emotions():
    bundle = load_bundle()
    assert bundle.emotion_classifier.emotions == bundle.emotions
    assert 0.3 < bundle.emotion_classifier.certain_from < 0.7


def test_network_that_is_not_there(small):
    with pytest.raises(BundleError, match="has no codegan network, it has: voicegan"):
        load_bundle(small).network("codegan")


def test_parameters_missing_or_cut_short(small):
    for file in (small / "params").rglob("*"):
        if file.is_file() and file.stat().st_size > 1000:
            file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(BundleError, match="the parameters of voicegan cannot be read"):
        load_bundle(small).network("voicegan")
    shutil.rmtree(small / "params")
    with pytest.raises(BundleError, match="the parameters of voicegan cannot be read"):
        load_bundle(small).network("voicegan")


def test_parameters_of_other_widths(small):
    edit(small, networks={"voicegan": {"config": {"noise_dim": 8, "generator_widths": [17]}}})
    with pytest.raises(BundleError, match="the parameters of voicegan cannot be read"):
        load_bundle(small).network("voicegan")


def test_impossible_configuration(small):
    edit(small, networks={"voicegan": {"config": {"noise_dim": 0}}})
    with pytest.raises(BundleError, match="cannot be built: bundle.json: voicegan.noise_dim is 0"):
        load_bundle(small).network("voicegan")
