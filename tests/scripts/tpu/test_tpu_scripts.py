"""`scripts/tpu`: a slice from its request to the last step, through preemptions and crashes, on a fake gcloud."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parents[2] / "scripts" / "tpu"
RUN = "gs://bucket/runs/waveglow"
TRAINING = ["--config=configs/waveglow.py:tiny", "--config.seed=3", f"--workdir={RUN}", "--config.data.datasets=a b"]
SLICE = ["--type=v5litepod-16", "--zone=us-west4-a", "--project=speech", "--spot", "--poll-s=0.1"]

pytestmark = pytest.mark.skipif(not (shutil.which("git") and Path("/proc").is_dir()), reason="needs Linux and git")


class Cloud:
    """A small checkout that is launched from, and the fakes on its PATH."""

    def __init__(self, folder):
        self.folder, self.checkout, self.bin = folder, folder / "checkout", folder / "bin"
        shutil.copytree(SCRIPTS, self.checkout / "scripts" / "tpu")
        (self.checkout / ".gitignore").write_text("runs/\n")
        subprocess.run(["git", "init", "--quiet"], cwd=self.checkout, check=True)
        self.bin.mkdir()
        self._command("gcloud", f'exec "{sys.executable}" -S "{HERE / "fake_gcloud.py"}" "$@"')
        self._command("hostname", 'echo "t1v-w-$HOST"')
        # `uv venv` makes an environment whose Python trains as planned.
        stand_in = f'exec "{sys.executable}" -S "{HERE / "fake_training.py"}" "$@"'
        self._command("host_python", stand_in)
        self._command("uv", f'[ "$1" != venv ] || install -D "{self.bin / "host_python"}" "${{@: -1}}/bin/python"')

    def _command(self, name, body):
        (self.bin / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (self.bin / name).chmod(0o755)

    def __call__(self, *arguments, plan=()):
        if plan:
            (self.folder / "plan").write_text("\n".join(plan))
        environment = {**os.environ, "FAKE": str(self.folder), "PATH": f"{self.bin}:{os.environ['PATH']}"}
        command = ["bash", str(self.checkout / "scripts" / "tpu" / "tpu.sh"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    def calls(self, *words):
        """The calls of gcloud that hold these words, in order."""
        calls = [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]
        return [call for call in calls if set(words) <= set(call)]

    def starts(self, host=0):
        """Cache and arguments of each training that a host started."""
        return [json.loads(line) for line in (self.folder / f"starts-{host}").read_text().splitlines()]

    def logs(self):
        """What each log in the bucket holds of the trainings, with the host's name."""
        files = sorted((self.folder / "bucket" / "bucket" / "runs" / "logs" / "waveglow").glob("*.log"))
        lines = [[line for line in file.read_text().splitlines() if line.startswith("host ")] for file in files]
        return [(file.name[:7], held) for file, held in zip(files, lines, strict=True)]

    @property
    def slice_is_there(self):
        return (self.folder / "state").exists()


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


def test_a_training_survives_preemption_until_its_last_step(cloud):
    plan = ["preempt 40", "save 60", "crash 80", "finish 100"]
    done = cloud("train", *SLICE, "--", *TRAINING, plan=plan)
    assert done.returncode == 0, done.stderr
    assert "the slice was lost at step 40" in done.stderr
    assert "asked to stop at step 60" in done.stderr
    assert "a host failed; starting again from step 80" in done.stderr and "host 0: crash" in done.stderr
    assert f"step 100 is reached; {RUN} holds the run" in done.stderr
    creations = cloud.calls("queued-resources", "create")
    assert len(creations) == 2 and creations[0] == creations[1]
    assert {"--accelerator-type=v5litepod-16", "--runtime-version=v2-alpha-tpuv5-lite", "--spot"} <= set(creations[0])
    assert {"--node-id=evc", "--zone=us-west4-a", "--project=speech"} <= set(creations[0])
    # The same command every time, on both hosts, with compiled programs kept beside the run.
    expected = ["gs://bucket/runs/compiled", "scripts/train.py", "--distributed=auto", *TRAINING]
    assert cloud.starts(0) == cloud.starts(1) == [expected] * 4
    assert not cloud.slice_is_there


def test_settings_of_the_launch_are_respected(cloud):
    options = ["--runtime=v2-special", "--cache=/tmp/compiled", "--keep", "--create-flag=--network=speech"]
    done = cloud("train", *SLICE, *options, "--", *TRAINING, "--distributed=10.0.0.1:1/2/0", plan=["finish 100"])
    assert done.returncode == 0, done.stderr
    assert {"--runtime-version=v2-special", "--network=speech"} <= set(cloud.calls("create")[0])
    assert cloud.starts() == [["/tmp/compiled", "scripts/train.py", *TRAINING, "--distributed=10.0.0.1:1/2/0"]]
    assert cloud.slice_is_there


def test_the_checkout_arrives_as_it_is(cloud):
    for name in ("train.py", "gone.py", "a name.txt"):
        (cloud.checkout / name).write_text("first")
    subprocess.run(["git", "add", "."], cwd=cloud.checkout, check=True)
    (cloud.checkout / "train.py").write_text("changed")
    (cloud.checkout / "gone.py").unlink()
    (cloud.checkout / "runs").mkdir()
    (cloud.checkout / "runs" / "large").write_text("not needed")
    assert cloud("create", *SLICE).returncode == 0
    assert cloud("install", *SLICE).returncode == 0
    for host in "01":
        home = cloud.folder / "hosts" / host
        names = {str(path.relative_to(home / "evc_jax")) for path in (home / "evc_jax").rglob("*") if path.is_file()}
        assert names == {".gitignore", "train.py", "a name.txt", "scripts/tpu/tpu.sh", "scripts/tpu/host.sh"}
        assert (home / "evc_jax" / "train.py").read_text() == "changed"
        assert (home / "evc_venv" / "bin" / "python").exists()


def test_step_by_step(cloud):
    assert cloud("status", *SLICE).stdout == "ABSENT\n"
    assert cloud("create", *SLICE).returncode == 0
    assert [line.split()[0] for line in cloud("status", *SLICE).stdout.splitlines()] == ["READY", "idle", "idle"]
    cloud("install", *SLICE)
    assert cloud("launch", *SLICE, "--", *TRAINING, plan=["wait"]).returncode == 0
    assert [line.split()[0] for line in cloud("status", *SLICE).stdout.splitlines()] == ["READY", "running", "running"]
    assert cloud("stop", *SLICE).returncode == 0
    states = {"running"}
    while "running" in states:
        states = {line.split()[0] for line in cloud("status", *SLICE).stdout.splitlines()[1:]}
    assert states == {"143"}  # of SIGTERM, which the fake does not catch as scripts/train.py does
    assert cloud("delete", *SLICE).returncode == 0
    assert not cloud.slice_is_there


def test_a_training_that_runs_is_watched_not_started_again(cloud):
    cloud("create", *SLICE)
    cloud("install", *SLICE)
    cloud("launch", *SLICE, "--", *TRAINING, plan=["preempt 40", "finish 100"])
    assert cloud("train", *SLICE, "--", *TRAINING, plan=["preempt 40", "finish 100"]).returncode == 0
    assert len(cloud.starts()) == 2


def test_a_node_that_vanishes_at_the_first_look_is_replaced(cloud):
    cloud("create", *SLICE)
    (cloud.folder / "vanish").touch()
    assert cloud("train", *SLICE, "--", *TRAINING, plan=["finish 100"]).returncode == 0
    assert len(cloud.starts()) == 1


def test_settings_that_cannot_be_trained_are_not_tried_again(cloud):
    done = cloud("train", *SLICE, "--", *TRAINING, plan=["refuse"])
    assert done.returncode == 2
    assert "t1v-w-0: host 0: refuse" in done.stderr and "stopped over its settings or data, see above" in done.stderr
    assert cloud.slice_is_there and len(cloud.starts()) == 1


def test_the_host_that_failed_shows_its_log_and_all_logs_reach_the_bucket(cloud):
    done = cloud("train", *SLICE, "--keep", "--", *TRAINING, plan=["crash 20 1", "oom 40 1", "finish 100"])
    assert done.returncode == 0, done.stderr
    assert "t1v-w-1: exit code 1\nt1v-w-1: host 1: crash\n" in done.stderr
    assert "t1v-w-1: exit code 137: killed, as a rule because the host's memory is full; lower --config." in done.stderr
    assert "t1v-w-0: " not in done.stderr  # which only waited
    assert "the logs of all hosts are in gs://bucket/runs/logs/waveglow" in done.stderr
    outcomes = ("crash", "oom", "finish")
    assert cloud.logs() == [(f"t1v-w-{host}", [f"host {host}: {outcome}" for outcome in outcomes]) for host in "01"]


def test_the_logs_of_a_lost_slice_stay_when_the_next_one_writes_its_own(cloud):
    cloud("train", *SLICE, "--", *TRAINING, plan=["save 40", "preempt 60", "finish 100"])
    held = [lines for name, lines in cloud.logs() if name == "t1v-w-1"]
    assert len(held) == 2 and held[0][0] == "host 1: save" and held[1] == ["host 1: finish"]


def test_hosts_without_external_addresses_are_reached_by_their_internal_ones(cloud):
    done = cloud("train", *SLICE, "--internal-ip", "--", *TRAINING, plan=["finish 100"])
    assert done.returncode == 0, done.stderr
    assert "--internal-ips" in cloud.calls("create")[0]
    reached = [*cloud.calls("tpu-vm", "ssh"), *cloud.calls("tpu-vm", "scp")]
    assert len(reached) > 3 and all("--internal-ip" in call for call in reached)
    assert not any("--internal-ip" in call for call in cloud.calls("queued-resources"))


def test_the_profiler_of_a_host_is_forwarded(cloud):
    port = "--profiler-port=9012"
    assert cloud("create", *SLICE).returncode == cloud("install", *SLICE).returncode == 0
    assert cloud("launch", *SLICE, port, "--", *TRAINING, plan=["wait"]).returncode == 0
    assert cloud.starts()[0][-1] == port
    done = cloud("profile", *SLICE, port, "--worker=1")
    assert done.stdout == "host 1: -N -L 9012:localhost:9012\n"
    assert "localhost:9012 is the profiler of host 1" in done.stderr
    assert cloud("delete", *SLICE).returncode == 0  # which ends the training
    assert "no port is given; give the training's, such as --profiler-port=9012." in cloud("profile", *SLICE).stderr


def test_the_commit_of_the_checkout_is_named_on_the_hosts(cloud):
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y", "-C", str(cloud.checkout)]
    for words in (["add", "."], ["commit", "--quiet", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    (cloud.checkout / ".gitignore").write_text("other/\n")
    cloud("train", *SLICE, "--", *TRAINING, plan=["finish 100"])
    assert (cloud.folder / "revision-1").read_text() == f"{head}-dirty"


def test_a_training_that_gets_nowhere_is_given_up(cloud):
    done = cloud("train", *SLICE, "--", *TRAINING, plan=["crash 20"] + ["crash 20"] * 9)
    assert done.returncode == 2
    assert "the training failed 3 times without a new checkpoint" in done.stderr
    assert len(cloud.starts()) == 3


def test_a_request_that_is_refused_is_given_up(cloud):
    done = cloud("create", *SLICE, "--create-flag=--network=none")
    assert done.returncode == 2
    assert "no such network" in done.stderr and "the slice cannot be requested, see above." in done.stderr
    assert len(cloud.calls("create")) == 3


def test_an_account_that_may_not_look_gets_a_sentence_at_once(cloud):
    done = cloud("create", "--type=v6e-8", "--project=forbidden")
    assert done.returncode == 2
    assert "PERMISSION_DENIED" in done.stderr and "gcloud cannot tell of the slice 'evc', see above." in done.stderr


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["fly"], "there is no command 'fly'; --help shows those there are."),
        (["create", "--color=red"], "there is no option '--color=red'"),
        (["create"], "no slice 'evc' is there and none can be made; give --type"),
        (["create", "--type=v9-8"], "no TPU software version is known for the type 'v9-8'; give --runtime=VERSION."),
        (["train", "--type=v6e-8"], "no training is given; put --config=... and --workdir=gs://... behind --."),
        (["launch", "--", "--workdir=runs/x"], "--workdir is 'runs/x'; give a folder on gs://"),
        (["launch", "--", "--workdir=gs://bucket"], "--workdir is 'gs://bucket'; give a folder on gs://"),
    ],
)
def test_a_wrong_command_is_one_sentence(cloud, arguments, sentence):
    done = cloud(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("tpu: ") and done.stderr.count("\n") == 1 and sentence in done.stderr


def test_help_says_what_there_is(cloud):
    done = cloud("--help")
    assert done.returncode == 0
    assert all(
        f"  {word} " in done.stdout
        for word in ["train", "create", "install", "launch", "status", "logs", "profile", "stop", "delete"]
    )
    assert "set -euo" not in done.stdout
    assert cloud().returncode == 2
