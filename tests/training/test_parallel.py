"""The per-device step on any number of devices and processes, under `jax.pmap`, and in micro-batches: one training."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.markers import in_ci
from support.socket_ports import free_port
from support.tiny_systems import BATCH, SYSTEMS, exact_enough, make_system, run_steps, trained_params

from benchmarks.fake_data import synthetic_batch
from evc_jax.errors import ConfigError
from evc_jax.training import parallel
from evc_jax.training.step_stats import weighted_mean

pytestmark = pytest.mark.usefixtures("quick_programs")
STEPS = 10
# The others differ from one of these in what they compute, not in how their state and metrics cross devices.
KINDS = ("speechsplit", "voicegan")
PROCESSES = 2
# Processes differ in what they read and in how sums and random numbers of samples cross them, not in what a network
# computes: one system of each kind of state, a network's and a GAN's. Eight devices train all of them.
SYSTEMS_OF_PROCESSES = ("speechsplit", "voicegan")
TOLERANCE = 1e-5
WORKER = Path(__file__).parents[1] / "support" / "process_worker.py"


@pytest.fixture(scope="module")
def one_device():
    """Parameters and metrics after `STEPS` steps on one device, per system."""
    known = {}

    def run(name):
        if name not in known:
            with exact_enough(name):
                known[name] = run_steps(make_system(name), parallel.device_mesh(jax.devices()[:1]), STEPS)
        return known[name]

    return run


def _assert_same_training(actual, expected):
    """Every metric of every step, and the parameters at the end by their distance relative to their norm."""
    (params, metrics), (expected_params, expected_metrics) = actual, expected
    for step, (now, then) in enumerate(zip(metrics, expected_metrics, strict=True)):
        for name, value in then.items():
            np.testing.assert_allclose(now[name], value, rtol=TOLERANCE, atol=1e-6, err_msg=f"{name} of step {step}")
    distance, norm = (
        sum(float(np.sum(np.asarray(leaf, np.float64) ** 2)) for leaf in jax.tree.leaves(tree)) ** 0.5
        for tree in (jax.tree.map(np.subtract, params, expected_params), expected_params)
    )
    assert distance <= TOLERANCE * norm


@pytest.mark.slow
@pytest.mark.parametrize("name", in_ci(KINDS, SYSTEMS))
def test_eight_devices_train_like_one(name, one_device):
    mesh = parallel.device_mesh(jax.devices()[:8])
    with exact_enough(name):
        _assert_same_training(run_steps(make_system(name), mesh, STEPS), one_device(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", in_ci(["voicegan"], SYSTEMS))
def test_pmap_of_the_same_step_trains_like_one(name, one_device):
    with exact_enough(name):
        _assert_same_training(_run_pmap(make_system(name), jax.devices()[:8]), one_device(name))


def _run_pmap(system, devices):
    mapped = jax.pmap(system.step, axis_name=parallel.AXIS, in_axes=(0, 0, None), devices=devices)
    first = system.init(jax.random.key(0))
    state = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(devices)), first)
    metrics = []
    for i in range(STEPS):
        split = jax.tree.map(lambda leaf: leaf.reshape(8, -1, *leaf.shape[1:]), synthetic_batch(system, BATCH, seed=i))
        state, step_metrics = mapped(state, split, jax.random.key(7))
        metrics.append(jax.tree.map(lambda leaf: leaf[0], jax.device_get(step_metrics)))
    return jax.tree.map(lambda leaf: leaf[0], trained_params(jax.device_get(state))), metrics


@pytest.mark.slow
@pytest.mark.parametrize("name", in_ci(["speechsplit"], ["speechsplit", "codegan"]))
def test_four_micro_batches_train_like_one_batch_four_times_larger(name, one_device):
    with exact_enough(name):
        system = make_system(name, accumulate=4, batch_size=2)
        _assert_same_training(run_steps(system, parallel.device_mesh(jax.devices()[:1]), STEPS), one_device(name))


@pytest.mark.slow
@pytest.mark.release
def test_two_processes_train_like_one(one_device, tmp_path):
    address = f"localhost:{free_port()}"
    flags = "--xla_force_host_platform_device_count=1"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    commands = [
        [
            sys.executable,
            str(WORKER),
            f"{address}/{PROCESSES}/{index}",
            str(STEPS),
            str(tmp_path),
            *SYSTEMS_OF_PROCESSES,
        ]
        for index in range(PROCESSES)
    ]
    running = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for command in commands]
    try:
        for process in running:
            _, errors = process.communicate(timeout=540)
            assert process.returncode == 0, errors[-2000:]
    finally:
        for process in running:
            process.kill()  # SIGTERM is taken by JAX once processes are connected
    for name in SYSTEMS_OF_PROCESSES:
        (params, metrics) = one_device(name)
        with np.load(tmp_path / f"{name}.npz") as file:
            leaves = [file[f"leaf{i}"] for i in range(len(jax.tree.leaves(params)))]
            stored = [{key: file[key][step] for key in metrics[0]} for step in range(STEPS)]
        _assert_same_training((jax.tree.unflatten(jax.tree.structure(params), leaves), stored), (params, metrics))


def test_replicas_agree_after_a_step():
    system = make_system("voicegan")
    mesh = parallel.device_mesh()
    state = parallel.init_replicated(system.init, jax.random.key(0), mesh)
    batch = parallel.shard_batch(synthetic_batch(system, BATCH), mesh)
    state, _ = parallel.map_step(system.step, mesh)(state, batch, jax.random.key(7))
    for leaf in jax.tree.leaves(trained_params(state)):
        first, *others = [np.asarray(shard.data) for shard in leaf.addressable_shards]
        assert len(others) == len(jax.devices()) - 1
        for other in others:
            np.testing.assert_array_equal(first, other)


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ConfigError, match="batch_size is 12 and there are 8 devices; choose a multiple of 8"):
        parallel.local_batch_size(12, parallel.device_mesh(jax.devices()[:8]))


def _validate(system, devices, batch_size, samples):
    """Metrics of a state without training over `samples` samples, in batches whose last one is filled."""
    mesh = parallel.device_mesh(jax.devices()[:devices])
    key, state = (parallel.replicate(made, mesh) for made in (jax.random.key(3), system.init(jax.random.key(0))))
    evaluate = parallel.map_evaluation(system.evaluate, mesh)
    whole = synthetic_batch(system, samples)
    if hasattr(state, "generator"):  # of a batch for each update of the discriminator, the first
        whole = {name: value[:, 0] for name, value in whole.items()}
    sums = []
    for first in range(0, samples, batch_size):
        index = np.arange(first, first + batch_size)
        batch = {name: value[index % samples] for name, value in whole.items()}
        batch |= {"index": index, "weight": (index < samples).astype(np.float32)}
        sums.append(evaluate(state, parallel.shard_batch(batch, mesh), key))
    return weighted_mean(sums)


@pytest.mark.parametrize("name", ["codegan", "f0_converter"])
def test_validation_does_not_depend_on_devices_batches_or_what_fills_them(name):
    system = make_system(name)
    one, eight = _validate(system, 1, 11, 11), _validate(system, 8, 8, 11)
    assert one.keys() == eight.keys()
    for metric, value in one.items():
        np.testing.assert_allclose(eight[metric], value, rtol=1e-5, atol=1e-6, err_msg=metric)


def test_steps_with_the_same_key_are_the_same():
    system = make_system("voicegan")
    state = system.init(jax.random.key(0))
    mesh = parallel.device_mesh(jax.devices()[:1])
    step = parallel.map_step(lambda s, b, k: (s, system.step(s, b, k)[1]), mesh)
    batch = parallel.shard_batch(synthetic_batch(system, BATCH), mesh)
    losses = []
    for key in (jax.random.key(1), jax.random.key(1), jax.random.key(2)):
        state, metrics = step(state, batch, key)
        losses.append(float(jnp.asarray(metrics["g_loss"])))
    assert losses[0] == losses[1] != losses[2]
