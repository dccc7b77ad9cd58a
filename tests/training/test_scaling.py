"""What a step costs and the predictions made of it; docs/scaling.md holds what the scripts print."""

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P
from support.tiny_systems import load_config

from evc_jax.errors import ConfigError
from evc_jax.training import parallel
from evc_jax.training.flops import count_reduced_bytes
from evc_jax.training.scaling import CLUSTERS, StepCost, predict, reduction_s, step_cost
from evc_jax.training.systems.fake_data import system_without_data

ROOT = Path(__file__).resolve().parents[2]
COST = StepCost("waveglow", 10**6, 16, 59.1e12, 1000, 1, 400_000_000, 10**6)
V5E, V5P, H100 = CLUSTERS


def test_bytes_that_devices_average():
    mesh = parallel.device_mesh(jax.devices()[:2])

    def step(x, y):
        often = jax.lax.fori_loop(0, 5, lambda _, total: parallel.mean_over_devices(total + x), x)
        return often, parallel.mean_over_devices(y)

    mapped = jax.shard_map(step, mesh=mesh, in_specs=(P(), P()), out_specs=P(), check_vma=False)
    shapes = jax.ShapeDtypeStruct((10, 3), jnp.float32), jax.ShapeDtypeStruct((7,), jnp.bfloat16)
    assert count_reduced_bytes(mapped, *shapes) == 5 * 10 * 3 * 4 + 7 * 2


@pytest.mark.parametrize("name", ["f0_converter", "voicegan", "codegan"])
def test_costs_of_every_system_without_data(name):
    config = load_config(name, "tiny")
    cost = step_cost(config)
    system = system_without_data(config)
    critic_steps = getattr(system.options, "critic_steps", 0)
    assert (cost.system, cost.samples) == (name, config.batch_size * max(1, critic_steps))
    assert cost.flops > 2 * cost.weights and cost.synchronisations == critic_steps + 1
    if not critic_steps:
        assert 4 * cost.weights <= cost.reduced_bytes <= 4 * cost.weights + 64  # and metrics


def test_accumulation_doubles_the_work_but_not_the_communication():
    config = load_config("voicegan", "tiny")
    once, twice = step_cost(config), step_cost(dataclasses.replace(config, accumulate=2))
    assert twice.flops == pytest.approx(2 * once.flops, rel=1e-6) and twice.input_bytes == 2 * once.input_bytes
    assert twice.reduced_bytes == pytest.approx(once.reduced_bytes, rel=1e-2)


def test_compute_at_a_share_of_the_peak():
    alone = predict(COST, V5E, 1, 0.3, "bfloat16")
    assert alone.compute_s == pytest.approx(1.0)
    assert alone.recurrence_s == pytest.approx(1000 * V5E.iteration_s)
    assert alone.reduction_s == 0 and alone.limit == "compute"
    assert alone.step_s == alone.compute_s + alone.recurrence_s + alone.update_s
    assert predict(COST, H100, 1, 0.3, "float32").compute_s == 2 * predict(COST, H100, 1, 0.3, "bfloat16").compute_s


def test_input_is_read_meanwhile_and_shared_by_a_hosts_devices():
    slow = predict(COST, V5E, 8, 0.3, "bfloat16", samples_per_s=32.0)
    assert slow.input_s == slow.step_s == 4 * 16 / 32 and slow.limit == "input"
    fast = predict(COST, V5E, 8, 0.3, "bfloat16", samples_per_s=320.0)
    assert fast.step_s > fast.input_s == 0.2 and fast.limit == "compute"


def test_rings_move_each_byte_twice():
    size = 400_000_000
    assert reduction_s(V5E, 1, size) == 0
    hops = 2 * 2 * (16 - 1) * 1e-6
    assert reduction_s(V5E, 256, size) == pytest.approx(2 * 255 / 256 * size / 100e9 + hops)
    within = reduction_s(H100, 8, size)
    assert within == pytest.approx(2 * 7 / 8 * size / 450e9 + 2 * 7 * H100.hop_s)
    across = 2 * 3 / 4 * size / 8 / 50e9 + 2 * 3 * H100.hop_s
    assert reduction_s(H100, 32, size) == pytest.approx(within + across)
    assert reduction_s(V5P, 256, 0, synchronisations=6) == pytest.approx(6 * reduction_s(V5P, 256, 0))


@pytest.mark.parametrize(
    "devices, utilisation, dtype", [(0, 0.3, "bfloat16"), (1, 1.5, "float32"), (1, 0.3, "float64")]
)
def test_what_cannot_be_predicted(devices, utilisation, dtype):
    with pytest.raises(ConfigError, match="cannot be predicted; give at least one device, a share between 0 and 1"):
        predict(COST, V5E, devices, utilisation, dtype)


@pytest.mark.slow
def test_steps_are_timed(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("measure_steps", ROOT / "scripts" / "measure_steps.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    output = tmp_path / "steps.json"
    monkeypatch.setattr(sys, "argv", ["x", "--variant=tiny", "--batch=8", "--systems=voicegan", f"--output={output}"])
    assert script.main() == 0
    measured = json.loads(output.read_text())["systems"]["voicegan"]
    assert measured["batch"] == 8 and measured["step_s"] > 0 and measured["utilisation"] is None
    monkeypatch.setattr(sys, "argv", ["x", "--systems=talk"])
    assert script.main() == 2
    assert capsys.readouterr().err.startswith("measure_steps: There is no system 'talk'; name some of ")


@pytest.mark.slow
def test_the_document_holds_what_the_scripts_print(tmp_path):
    command = [sys.executable, "scripts/scaling_table.py", "--measured=docs/measured_steps.json"]
    done = subprocess.run(
        [*command, f"--plot={tmp_path / 'scaling.svg'}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    text = (ROOT / "docs" / "scaling.md").read_text()
    for table in done.stdout.strip().split("\n\n"):
        assert table in text
    assert "<svg" in (tmp_path / "scaling.svg").read_text()
