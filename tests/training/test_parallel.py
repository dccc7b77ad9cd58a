"""The per-device step on one device, on eight simulated ones, and under `jax.pmap`: the same training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evc_jax.errors import ConfigError
from evc_jax.training import parallel
from systems import SYSTEMS, random_batch

STEPS = 3


def _run(system, mesh):
    step = parallel.map_step(system.step, mesh)
    state = parallel.replicate(jax.jit(system.init)(jax.random.key(0)), mesh)
    collected = []
    for i in range(STEPS):
        state, metrics = step(state, parallel.shard_batch(random_batch(system, seed=i), mesh), jax.random.key(7))
        collected.append(jax.device_get(metrics))
    return jax.device_get(state), collected


def _assert_close(actual, expected, tolerance):
    for path, a in jax.tree_util.tree_leaves_with_path(actual):
        b = dict(jax.tree_util.tree_leaves_with_path(expected))[path]
        scale = max(1e-3, float(np.abs(b).max()))
        assert float(np.abs(a - b).max()) <= tolerance * scale, jax.tree_util.keystr(path)


@pytest.mark.parametrize("name", SYSTEMS)
def test_eight_devices_train_like_one(name):
    system = SYSTEMS[name]()
    one_state, one_metrics = _run(system, parallel.device_mesh(jax.devices()[:1]))
    eight_state, eight_metrics = _run(system, parallel.device_mesh(jax.devices()[:8]))
    _assert_close(eight_metrics, one_metrics, 1e-3)
    moments = ("opt_state",) if hasattr(one_state, "opt_state") else ("generator_opt", "discriminator_opt")
    for moment in moments:
        # Adam's moments are sums of gradients: they show a gradient that is n times too large, parameters do not.
        _assert_close(getattr(eight_state, moment), getattr(one_state, moment), 1e-2)


def test_replicas_agree_after_a_step():
    system = SYSTEMS["waveglow"]()
    mesh = parallel.device_mesh()
    state = parallel.replicate(jax.jit(system.init)(jax.random.key(0)), mesh)
    state, _ = parallel.map_step(system.step, mesh)(
        state, parallel.shard_batch(random_batch(system), mesh), jax.random.key(7)
    )
    for leaf in jax.tree.leaves(state.params):
        first, *others = [np.asarray(shard.data) for shard in leaf.addressable_shards]
        assert len(others) == len(jax.devices()) - 1
        for other in others:
            np.testing.assert_array_equal(first, other)


def test_shard_map_is_pmap():
    system = SYSTEMS["speechsplit"]()
    batch, devices = random_batch(system), jax.devices()
    state = jax.jit(system.init)(jax.random.key(0))
    split = jax.tree.map(lambda leaf: leaf.reshape(len(devices), -1, *leaf.shape[1:]), batch)
    mapped = jax.pmap(system.step, axis_name=parallel.AXIS, in_axes=(None, 0, None))
    _, expected = jax.device_get(mapped(state, split, jax.random.key(7)))
    mesh = parallel.device_mesh()
    _, actual = parallel.map_step(system.step, mesh)(
        parallel.replicate(state, mesh), parallel.shard_batch(batch, mesh), jax.random.key(7)
    )
    np.testing.assert_allclose(actual["loss"], expected["loss"][0], rtol=1e-5)


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ConfigError, match="batch_size is 12 and there are 8 devices; choose a multiple of 8"):
        parallel.local_batch_size(12, parallel.device_mesh(jax.devices()[:8]))


def test_a_validation_batch_is_brought_to_equal_shares():
    mesh = parallel.device_mesh(jax.devices()[:8])
    assert parallel.fit_batch({"x": np.arange(26)}, mesh)["x"].tolist() == list(range(24))
    assert parallel.fit_batch({"x": np.arange(3)}, mesh)["x"].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_steps_with_the_same_key_are_the_same():
    system = SYSTEMS["speechsplit"]()
    state = jax.jit(system.init)(jax.random.key(0))
    mesh = parallel.device_mesh(jax.devices()[:1])
    step = parallel.map_step(lambda s, b, k: (s, system.step(s, b, k)[1]), mesh)
    batch = parallel.shard_batch(random_batch(system), mesh)
    losses = []
    for key in (jax.random.key(1), jax.random.key(1), jax.random.key(2)):
        state, metrics = step(state, batch, key)
        losses.append(float(jnp.asarray(metrics["loss"])))
    assert losses[0] == losses[1] != losses[2]
