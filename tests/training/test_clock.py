"""Training by the clock, and several steps in one call."""

import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.tiny_systems import BATCH, make_system, quick_compilation, trained_params
from support.tiny_voices import records, train_voices, voices_config, write_voices

from benchmarks.accelerator.training import elapsed_s
from benchmarks.fake_data import synthetic_batch
from evc_jax.errors import ConfigError
from evc_jax.pretrained.workdir import saved_steps
from evc_jax.training import clock, loop, parallel
from evc_jax.training.state import GanState

SECONDS = 12


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    return write_voices(tmp_path_factory.mktemp("voices"))


@pytest.fixture
def processor_time(monkeypatch):
    """The clock of trainings is this process's processor time, which does not depend on what else runs."""
    for module in (clock, loop):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=time.process_time))


def _by_the_clock(voices, workdir, minutes, **changes):
    often = {"log_every": 50, "validate_every": 1_000_000, "checkpoint_every": 1_000_000}
    start_s = time.process_time()
    results = train_voices(voices, workdir, minutes=minutes, steps=1000, **{**often, **changes})
    return results, time.process_time() - start_s


@pytest.mark.usefixtures("processor_time", "quick_programs")
def test_the_last_validation_and_checkpoint_fit_into_the_time(voices, tmp_path, capsys):
    results, took_s = _by_the_clock(voices, tmp_path, SECONDS / 60)
    (step,) = saved_steps(tmp_path)[-1:]
    assert 0.6 * SECONDS < took_s <= SECONDS + 2
    assert len(saved_steps(tmp_path)) > 2  # also where `checkpoint_every` is never reached
    last = records(tmp_path)[-1]
    assert last["split"] == "validation" and last["step"] == step
    assert results == {key: value for key, value in last.items() if key not in ("split", "step")}
    assert f"0.2 minutes are over; they became {step} steps" in capsys.readouterr().out
    assert elapsed_s(tmp_path) == SECONDS and elapsed_s(tmp_path / "none") == 0
    # Given again, there is nothing left to do; with more minutes, the clock goes on.
    assert _by_the_clock(voices, tmp_path, SECONDS / 60)[0] == results and saved_steps(tmp_path)[-1] == step
    _, took_s = _by_the_clock(voices, tmp_path, SECONDS / 60 + 0.1)
    assert saved_steps(tmp_path)[-1] > step and took_s < 12


class _Clock:
    """`time.monotonic` that moves as far as a test says."""

    def __init__(self, monkeypatch):
        self.now_s = 100.0
        monkeypatch.setattr(clock.time, "monotonic", lambda: self.now_s)


def _call(limit, step_s, now):
    batch = limit.before_call({}, 1)
    now.now_s += step_s
    limit.after_call({"share": jnp.asarray(batch["share"])})
    return float(batch["share"][0])


def test_the_share_of_the_time_leaves_room_for_the_end(monkeypatch, voices):
    now = _Clock(monkeypatch)
    config = voices_config(voices, minutes=1.0, steps=1000)
    limit = clock.training_limit(config)
    limit.validated(4.0)
    limit.saved(5.0)
    shares, step = [], 0
    while not limit.reached(step):
        shares.append(_call(limit, 10.0 if step == 0 else 1.0, now))  # the first one compiles
        step += 1
    assert shares[0] == 0 and all(np.diff(shares) >= 0) and shares[-1] == 1
    assert shares[2] == pytest.approx(11 / (60 - 4 - 5))  # no step's time is known yet
    assert shares[3] == pytest.approx(12 / (60 - 4 - 5 - 3 * 1))
    assert 60 - 4 - 5 - 1 <= now.now_s - 100 <= 60 - 4 - 5 + 1
    assert limit.progress() == {"elapsed_s": 60.0}
    longer = clock.training_limit(voices_config(voices, minutes=2.0))
    longer.resume(limit.progress())
    assert not longer.reached(step) and _call(longer, 1.0, now) == pytest.approx(60 / 120)


def test_checkpoints_are_a_fifth_of_the_time_apart(monkeypatch, voices):
    now = _Clock(monkeypatch)

    def saves(limit, calls):
        return [call for call in range(calls) if _call(limit, 0.6, now) >= 0 and limit.asks_to_save()]

    config = voices_config(voices, minutes=1.0)
    limit = clock.training_limit(config)
    first = saves(limit, 60)
    assert len(first) == 2 and 19 <= first[1] - first[0] <= 20
    resumed = clock.training_limit(config)
    resumed.resume(limit.progress())
    assert len(saves(resumed, 60)) == 3


def test_the_learning_rate_follows_the_share_on_every_device():
    """Half of the time is half of the steps, for the generator and for the discriminator, whatever was before."""
    changes = {"minutes": 1.0, "steps": 100, "optimizer": {"warmup_steps": 10, "decay_from_step": 50}}
    system = make_system("voicegan", **changes)
    limit, mesh = clock.training_limit(system.config), parallel.device_mesh(jax.devices()[:4])
    with quick_compilation():
        step = parallel.map_step(limit.timed(system.step), mesh)
        state = parallel.init_replicated(system.init, jax.random.key(0), mesh)
        for share in (0.9, 0.05):
            # The first device's share counts.
            batch = {**synthetic_batch(system, BATCH), "share": np.array([share, 0.5, 1.0, 0.0], np.float32)}
            state, metrics = step(state, parallel.shard_batch(batch, mesh), jax.random.key(7))
            assert float(metrics["share"]) == pytest.approx(share)
            counts = _schedule_counts(state)
            assert counts == [round(100 * share) + updates for updates in (1, 5)]
    assert isinstance(state, GanState)


def _schedule_counts(state):
    leaves = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, optax.ScaleByScheduleState))
    return [int(leaf.count) for leaf in leaves if isinstance(leaf, optax.ScaleByScheduleState)]


@pytest.mark.parametrize("steps", [12, 13])
def test_several_steps_in_a_call_are_the_same_training(voices, tmp_path, steps):
    changes = {"steps": steps, "log_every": 3, "validate_every": 6, "checkpoint_every": 6}
    train_voices(voices, tmp_path / "one", **changes)
    train_voices(voices, tmp_path / "six", steps_per_call=6, **{**changes, "steps": 6})
    train_voices(voices, tmp_path / "six", steps_per_call=6, **changes)  # which resumes
    one, six = records(tmp_path / "one"), records(tmp_path / "six")
    assert [line["step"] for line in six if line["split"] == "validation"] == [0, 6, 12, 13][: steps - 9]
    assert [line["step"] for line in six if line["split"] == "train"] == [6, 12, 13][: steps - 10]
    for now in (line for line in six if line["split"] == "validation"):
        then = next(line for line in one if line["split"] == "validation" and line["step"] == now["step"])
        for key in then.keys() - {"split"}:
            np.testing.assert_allclose(now[key], then[key], rtol=1e-4, atol=1e-5, err_msg=key)


def test_calls_of_several_steps_log_each_step(voices, tmp_path):
    """A mean over a call of three steps is the mean of what three calls return."""
    system = make_system("voicegan")
    mesh = parallel.device_mesh(jax.devices()[:2])
    batches = [synthetic_batch(system, BATCH, seed=i) for i in range(3)]
    with quick_compilation():
        one, three = (parallel.map_step(system.step, mesh, several) for several in (False, True))
        state = parallel.init_replicated(system.init, jax.random.key(0), mesh)
        stacked = {name: np.stack([batch[name] for batch in batches]) for name in batches[0]}
        at_once, series = three(
            jax.tree.map(jnp.copy, state), parallel.shard_batch(stacked, mesh, True), jax.random.key(7)
        )
        for i, batch in enumerate(batches):
            state, metrics = one(state, parallel.shard_batch(batch, mesh), jax.random.key(7))
            for name, value in metrics.items():
                np.testing.assert_allclose(series[name][i], value, rtol=1e-5, atol=1e-6, err_msg=f"{name} {i}")
    for together, alone in zip(*(jax.tree.leaves(trained_params(each)) for each in (at_once, state)), strict=True):
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("minutes", [-1.0, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_refused(voices, minutes):
    with pytest.raises(ConfigError, match=r"config.minutes is .*; expected a time, or 0 to train for config.steps"):
        voices_config(voices, minutes=minutes)


def test_a_call_has_a_step(voices):
    with pytest.raises(ConfigError, match="config.steps_per_call is 0; expected at least 1"):
        voices_config(voices, steps_per_call=0)


def test_steps_of_calls_are_traced_where_they_overlap(tmp_path, voices):
    train_voices(voices, tmp_path, steps=12, steps_per_call=4, profile_steps="6:7")
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))
