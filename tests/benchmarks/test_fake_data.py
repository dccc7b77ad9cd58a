"""Random batches are such as the pipelines make."""

import jax
import numpy as np
import pytest
from support.tiny_systems import SYSTEMS, load_config

from benchmarks.fake_data import batch_shapes, synthetic_batch, system_without_data
from evc_jax.training import parallel


@pytest.fixture(scope="module")
def codegan():
    return system_without_data(load_config("codegan", "tiny"))


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_has_batches_of_any_size(name):
    system = system_without_data(load_config(name, "tiny"))
    for samples in (1, 6):
        batch = synthetic_batch(system, samples)
        shapes = batch_shapes(system, samples)
        assert {key: (value.shape, value.dtype) for key, value in batch.items()} == {
            key: (leaf.shape, leaf.dtype) for key, leaf in shapes.items()
        }
        assert all(np.isfinite(value).all() and len(value) == samples for value in batch.values())


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_trains_on_them(name):
    system = system_without_data(load_config(name, "tiny"))
    step = parallel.map_step(system.step, parallel.device_mesh(jax.devices()[:1]))
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(system.init, key)
    trained, metrics = jax.eval_shape(step, state, batch_shapes(system, 2), key)
    assert jax.tree.structure(trained) == jax.tree.structure(state) and metrics


def test_batches_are_those_that_the_pipelines_make(codegan):
    batch = next(iter(codegan.data("train", 4)))
    expected = batch_shapes(codegan, 4)
    assert set(batch) == {*expected, "record"}
    assert all(batch[name].shape == leaf.shape for name, leaf in expected.items())
    assert np.issubdtype(batch["emotion"].dtype, np.integer) and batch["codes"].dtype == np.float32


def test_a_seed_gives_the_same_batch_and_another_one_other_samples(codegan):
    first, again, other = (synthetic_batch(codegan, 4, seed=seed) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.intersect1d(first["index"], other["index"]).size
    assert (first["codes"] != other["codes"]).all()


def test_emotions_are_not_equally_frequent(codegan):
    counts = np.bincount(next(iter(codegan.data("train", 200)))["emotion"].reshape(-1))
    assert len(counts) == codegan.model.emotions and counts[0] > 2 * counts[-1] > 0
