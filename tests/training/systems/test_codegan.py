"""CodeGAN's targets, and the SpeechSplit whose codes it takes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.tiny_systems import make_system

from evc_jax.errors import BundleError, ConfigError
from evc_jax.pretrained.bundle import load_bundle
from evc_jax.training.checkpoints import fingerprint

SAMPLES = 4000


def drawn(mixed_share, samples=SAMPLES, first=0):
    system = make_system("codegan", options={"mixed_share": mixed_share})
    keys = jax.random.split(jax.random.key(3), SAMPLES)[first : first + samples]
    batch = system.draw({"emotion": jnp.zeros(samples, jnp.int32)}, keys, jnp.ones_like)
    return system, np.asarray(batch["target"])


def test_without_mixtures_targets_are_single_emotions_as_frequent_as_in_the_data():
    system, target = drawn(0.0)
    assert set(np.unique(target)) == {0.0, 1.0} and (target.sum(axis=1) == 1).all()
    shares = np.bincount(system.records("train").emotion) / len(system.records("train"))
    np.testing.assert_allclose(target.mean(axis=0), shares, atol=0.03)


def test_mixtures_have_two_emotions_with_a_uniform_weight():
    _, target = drawn(0.5)
    np.testing.assert_allclose(target.sum(axis=1), 1.0, atol=1e-6)
    parts = (target > 0).sum(axis=1)
    assert set(parts) == {1, 2} and abs(np.mean(parts == 2) - 0.5) < 0.03
    smaller = np.sort(target[parts == 2], axis=1)[:, -2]
    np.testing.assert_allclose(np.quantile(smaller, [0.25, 0.5, 0.75]), [0.125, 0.25, 0.375], atol=0.03)


def test_a_samples_target_does_not_depend_on_its_batch():
    np.testing.assert_array_equal(drawn(0.5)[1][7:12], drawn(0.5, samples=5, first=7)[1])


def test_a_share_outside_of_0_to_1_is_refused():
    with pytest.raises(ConfigError, match=r"config.options.mixed_share is 1.5; expected 0 to 1"):
        make_system("codegan", options={"mixed_share": 1.5})


@pytest.mark.parametrize("origin", ["tiny_bundle", "embedded"])
def test_codes_come_from_a_bundle(origin, request):
    path = origin if origin == "embedded" else request.getfixturevalue(origin)
    system = make_system("codegan", options={"speechsplit": str(path)})
    encoder, digest = system._encoder
    params = load_bundle(None if origin == "embedded" else path).network("speechsplit").params
    assert digest == fingerprint(params)
    example = {"mel": np.full((200, 80), 0.3, np.float32), "f0_hz": np.full(200, 150.0, np.float32)}
    codes = encoder({**example, "log_f0_mean": 5.0, "log_f0_std": 0.2})
    assert codes.shape[:2] == (2, 24) and np.ptp(codes) > 0


def test_a_bundle_without_speechsplit_is_refused(tmp_path, tiny_bundle):
    description = json.loads((tiny_bundle / "bundle.json").read_text())
    del description["networks"]["speechsplit"]
    (tmp_path / "bundle.json").write_text(json.dumps(description))
    with pytest.raises(BundleError, match="has no speechsplit network"):
        _ = make_system("codegan", options={"speechsplit": str(tmp_path)})._encoder
