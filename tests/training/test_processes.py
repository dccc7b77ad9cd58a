"""`scripts/train.py` in several processes, as on several hosts: one training, and one end for all."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from support.markers import in_ci
from support.socket_ports import free_port
from support.tiny_systems import QUICK_COMPILATION
from support.tiny_voices import records, train_voices, write_voices

from evc_jax.errors import ConfigError
from evc_jax.pretrained.workdir import saved_steps
from evc_jax.training import processes
from evc_jax.training.process_watch import LOST, REFUSED

pytestmark = pytest.mark.usefixtures("quick_programs")
WITHIN_S = 30  # without an end of its own it would be 240
ROOT = Path(__file__).resolve().parents[2]


def _start(voices, workdir, steps, count=2, of_one=(), **changes):
    """Starts them; the last one has the arguments `of_one` too."""
    changes = {"steps": steps, "checkpoint_every": 10, "validate_every": 5, "log_every": 1, **changes}
    arguments = [f"--config.{key}={value}" for key, value in changes.items()]
    arguments += [f"--config.data.data_dir={voices}", "--config.data.datasets=voices", f"--workdir={workdir}"]
    flags = "--xla_force_host_platform_device_count=1"
    environment = {**os.environ, **QUICK_COMPILATION, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    address = f"localhost:{free_port()}"
    command = [sys.executable, "scripts/train.py", f"--config={ROOT / 'configs' / 'voicegan.py'}:tiny", *arguments]
    command += ["--distributed-timeout=20"]
    return [
        subprocess.Popen(
            [*command, f"--distributed={address}/{count}/{index}", *(of_one if index == count - 1 else ())],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(count)
    ]


def _finish(running, codes=None):
    try:
        outputs = [process.communicate(timeout=240)[0] for process in running]
    finally:
        for process in running:
            process.kill()  # SIGTERM is taken by JAX once processes are connected
    assert [process.returncode for process in running] == list(codes or [0] * len(running)), outputs
    return outputs


def _wait_for_steps(running, workdir):
    deadline_s = time.monotonic() + 200
    while not (workdir / "metrics.jsonl").exists() or len((workdir / "metrics.jsonl").read_text().splitlines()) < 5:
        assert time.monotonic() < deadline_s and all(process.poll() is None for process in running)
        time.sleep(0.2)


def _assert_same_log(workdir, expected):
    for now, then in zip(records(workdir), records(expected), strict=True):
        assert now.keys() == then.keys() and now["step"] == then["step"]
        for key in then.keys() - {"split", "step"}:
            np.testing.assert_allclose(now[key], then[key], rtol=1e-5, atol=1e-6, err_msg=f"{key}, step {now['step']}")


@pytest.mark.slow
@pytest.mark.parametrize("count", in_ci([2], [2, 4]))
def test_processes_write_the_log_of_one_and_any_number_goes_on(count, tmp_path):
    voices = write_voices(tmp_path / "data")
    # Batches are laid over the eight simulated devices of this process.
    train_voices(voices, tmp_path / "one", steps=20, checkpoint_every=10)
    outputs = _finish(_start(voices, tmp_path / "several", 20, count))
    _assert_same_log(tmp_path / "several", tmp_path / "one")
    assert "step 20/20" in outputs[0] and "step" not in "".join(outputs[1:])
    train_voices(voices, tmp_path / "one", steps=25, checkpoint_every=10)
    train_voices(voices, tmp_path / "several", steps=25, checkpoint_every=10)
    _assert_same_log(tmp_path / "several", tmp_path / "one")


@pytest.mark.slow
def test_when_one_host_is_preempted_all_save_the_same_step_and_go_on_by_the_clock(tmp_path):
    voices, workdir = write_voices(tmp_path / "data"), tmp_path / "run"
    running = _start(voices, workdir, 100_000)
    _wait_for_steps(running, workdir)
    running[1].send_signal(signal.SIGTERM)
    struck_s = time.monotonic()
    outputs = _finish(running, (0, 0))
    assert time.monotonic() - struck_s < WITHIN_S
    stopped = saved_steps(workdir)[-1]
    assert f"asked to stop: saved step {stopped}" in outputs[0]
    outputs = _finish(_start(voices, workdir, 100_000, minutes=0.4), (0, 0))
    ended = saved_steps(workdir)[-1]
    assert ended > stopped and f"0.4 minutes are over; they became {ended} steps" in outputs[0]


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_when_a_process_is_killed_the_other_names_it(killed, tmp_path):
    voices, workdir = write_voices(tmp_path / "data"), tmp_path / "run"
    running = _start(voices, workdir, 100_000)
    _wait_for_steps(running, workdir)
    running[killed].kill()
    struck_s = time.monotonic()
    codes = [LOST, LOST]
    codes[killed] = -9
    outputs = _finish(running, codes)
    assert time.monotonic() - struck_s < WITHIN_S
    assert re.search(rf"evc train: process {killed} .*is gone.*start all processes again", outputs[1 - killed])


@pytest.mark.slow
@pytest.mark.parametrize(
    "argument, sentence",
    [
        (
            "--config.optimizer.learning_rate=0.5",
            "Process 1 has config.optimizer.learning_rate 0.5 where process 0 has",
        ),
        ("--config.data.data_dir=/nowhere", "There is no dataset 'voices' in /nowhere"),
    ],
)
def test_a_process_that_cannot_train_with_the_others_ends_all_with_its_sentence(argument, sentence, tmp_path):
    voices = write_voices(tmp_path / "data")
    outputs = _finish(_start(voices, tmp_path / "run", 100, of_one=[argument]), [REFUSED] * 2)
    assert all(sentence in output and "Traceback" not in output for output in outputs)


@pytest.mark.slow
def test_a_coordinator_that_cannot_be_reached_is_named():
    command = "from evc_jax.training.processes import connect; connect('localhost:9/2/1', 2)"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == LOST
    assert done.stderr.startswith(
        "evc train: process 1 has waited 6 s for all of 2 processes to meet at localhost:9; start"
    )
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("text", ["yes", "host/2/0", "host:1/2/2", "host:1/2"])
def test_an_address_that_cannot_be_is_refused(text):
    with pytest.raises(ConfigError, match="give auto, or ADDRESS:PORT/COUNT/INDEX"):
        processes.connect(text)


def test_a_timeout_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="--distributed-timeout is 1; expected at least 2 seconds"):
        processes.connect("localhost:9/2/1", 1)


def test_auto_where_there_are_no_hosts_is_refused():
    command = "from evc_jax.training.processes import connect; connect('auto')"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "ConfigError: --distributed is auto, but there are no other hosts here" in done.stderr


@pytest.mark.parametrize(
    "reason, code, sentence",
    [
        ("ALREADY_EXISTS: a request from a newer incarnation.", REFUSED, "two processes have the index 1 of"),
        ("ABORTED: 1 tried to connect with a different incarnation.", REFUSED, "two processes have the index 1 of"),
        ("INVALID_ARGUMENT: Unexpected task registered", REFUSED, "process 0 at h:1 counts fewer than 2 processes"),
        (
            "DEADLINE_EXCEEDED: Deadline Exceeded",
            LOST,
            "process 1 has waited 9 s for all of 2 processes to meet at h:1",
        ),
        ("INTERNAL: no idea", REFUSED, r"process 1 cannot join the others at h:1 \(INTERNAL: no idea\)"),
    ],
)
def test_what_jax_writes_before_it_gives_up_becomes_a_sentence(reason, code, sentence, tmp_path):
    with (tmp_path / "errors").open("w+") as file:
        written = f"F0101 client.h:80] Terminating process. absl::Status: {reason}\n\nRPC: X\n*** stack trace: ***"
        assert processes._explain_failed_start(written, file.fileno(), ("h:1", 2, 1), 9) == code
        file.seek(0)
        assert re.match(f"evc train: {sentence}", file.read())
