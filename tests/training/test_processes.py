"""`scripts/train.py` in four processes, as on four hosts: one training, one set of files, one preemption."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.socket_ports import free_port
from support.tiny_voices import records, train_voices, write_voices

from evc_jax.pretrained.workdir import saved_steps

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 4


def _start(voices, workdir, steps):
    changes = {"steps": steps, "checkpoint_every": 10, "validate_every": 5, "log_every": 1}
    arguments = [f"--config.{key}={value}" for key, value in changes.items()]
    arguments += [f"--config.data.data_dir={voices}", "--config.data.datasets=voices", f"--workdir={workdir}"]
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=1", "JAX_PLATFORMS": "cpu"}
    address = f"localhost:{free_port()}"
    command = [sys.executable, "scripts/train.py", f"--config={ROOT / 'configs' / 'voicegan.py'}:tiny", *arguments]
    return [
        subprocess.Popen(
            [*command, f"--distributed={address}/{PROCESSES}/{index}"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(PROCESSES)
    ]


def _finish(running):
    try:
        outputs = [process.communicate(timeout=240)[0] for process in running]
    finally:
        for process in running:
            process.kill()  # SIGTERM is taken by JAX once processes are connected
    assert [process.returncode for process in running] == [0] * PROCESSES, outputs
    return outputs


def _assert_same_log(workdir, expected):
    for now, then in zip(records(workdir), records(expected), strict=True):
        assert now.keys() == then.keys() and now["step"] == then["step"]
        for key in then.keys() - {"split", "step"}:
            np.testing.assert_allclose(now[key], then[key], rtol=1e-5, atol=1e-6, err_msg=f"{key}, step {now['step']}")


@pytest.mark.slow
def test_four_processes_write_the_log_of_one_and_any_number_goes_on(tmp_path):
    voices = write_voices(tmp_path / "data")
    # Batches are laid over the eight simulated devices of this process.
    train_voices(voices, tmp_path / "one", steps=20, checkpoint_every=10)
    outputs = _finish(_start(voices, tmp_path / "four", 20))
    _assert_same_log(tmp_path / "four", tmp_path / "one")
    assert "step 20/20" in outputs[0] and "step" not in "".join(outputs[1:])
    train_voices(voices, tmp_path / "one", steps=25, checkpoint_every=10)
    train_voices(voices, tmp_path / "four", steps=25, checkpoint_every=10)
    _assert_same_log(tmp_path / "four", tmp_path / "one")


@pytest.mark.slow
def test_when_one_host_is_preempted_all_save_the_same_step(tmp_path):
    voices, workdir = write_voices(tmp_path / "data"), tmp_path / "run"
    running = _start(voices, workdir, 100_000)
    deadline_s = time.monotonic() + 200
    while not (workdir / "metrics.jsonl").exists() or len((workdir / "metrics.jsonl").read_text().splitlines()) < 5:
        assert time.monotonic() < deadline_s and all(process.poll() is None for process in running)
        time.sleep(0.2)
    running[2].send_signal(signal.SIGTERM)
    struck_s = time.monotonic()
    outputs = _finish(running)
    assert time.monotonic() - struck_s < 30
    assert f"asked to stop: saved step {saved_steps(workdir)[-1]}" in outputs[0]
