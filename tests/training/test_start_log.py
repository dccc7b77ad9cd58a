"""WORKDIR/starts.jsonl: what each start ran on stays there, whatever starts after it."""

import json
import subprocess

import jax
import pytest
from etils import epath
from support.tiny_voices import train_voices, write_voices

from evc_jax.config import to_mapping
from evc_jax.training import start_log
from evc_jax.training.settings import load_settings


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    return write_voices(tmp_path_factory.mktemp("data"))


def starts(workdir):
    return [json.loads(line) for line in (workdir / "starts.jsonl").read_text().splitlines()]


def test_every_start_is_kept(voices, tmp_path):
    train_voices(voices, tmp_path, steps=5)
    first = (tmp_path / "starts.jsonl").read_bytes()
    train_voices(voices, tmp_path, steps=6, optimizer={"learning_rate": 3e-4})
    assert (tmp_path / "starts.jsonl").read_bytes().startswith(first)
    one, two = starts(tmp_path)
    assert (one["step"], two["step"]) == (0, 5)
    assert one["time"] <= two["time"] and one["time"].endswith("+00:00")
    assert (one["config"]["steps"], two["config"]["steps"]) == (5, 6)
    assert two["config"] == json.loads((tmp_path / "config.json").read_text()) != one["config"]
    assert one["versions"] == two["versions"] and one["versions"]["jax"] == jax.__version__
    assert set(one["versions"]) == {"python", "evc_jax", *start_log.PACKAGES}
    assert (one["devices"], one["processes"]) == (jax.device_count(), 1)
    assert one["device_kind"] == jax.devices()[0].device_kind


def test_a_start_can_be_repeated_from_its_line(voices, tmp_path):
    train_voices(voices, tmp_path / "run", steps=2)
    (tmp_path / "config.json").write_text(json.dumps(starts(tmp_path / "run")[0]["config"]))
    again = to_mapping(load_settings(str(tmp_path / "config.json")))
    assert again == json.loads((tmp_path / "run" / "config.json").read_text())


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    start_log.log_start(epath.Path(tmp_path), 0, {})
    assert not list(tmp_path.iterdir())


def test_the_revision_marks_local_changes(tmp_path, monkeypatch):
    monkeypatch.delenv("EVC_REVISION", raising=False)
    package = tmp_path / "evc_jax"
    package.mkdir()
    (package / "code.py").write_text("1")
    assert start_log.code_revision(package) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@y"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "first"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    assert start_log.code_revision(package) == head
    (package / "code.py").write_text("2")
    assert start_log.code_revision(package) == f"{head}-dirty"
    monkeypatch.setenv("EVC_REVISION", "abc")
    assert start_log.code_revision(package) == "abc"
