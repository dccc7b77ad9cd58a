"""The timbre converter's training: its loss falls, and the critic stays as it is."""

import jax
import numpy as np
from support.tiny_systems import make_system

from benchmarks.fake_data import synthetic_batch
from evc_jax.training import parallel


def test_the_loss_falls_on_a_batch_and_the_critic_is_not_trained():
    system = make_system("timbre_converter", optimizer={"learning_rate": 3e-3})
    critic = jax.tree.map(np.array, system._critic_params)
    batch = synthetic_batch(system, 8)
    mesh = parallel.device_mesh(jax.devices()[:1])
    step = parallel.map_step(system.step, mesh)
    state = parallel.init_replicated(system.init, jax.random.key(0), mesh)
    key, losses = parallel.replicate(jax.random.key(7), mesh), []
    for _ in range(30):
        state, metrics = step(state, parallel.shard_batch(batch, mesh), key)
        losses.append(float(metrics["loss"]))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.02
    assert jax.tree.all(jax.tree.map(np.array_equal, critic, system._critic_params))
