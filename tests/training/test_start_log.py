"""WORKDIR/starts.jsonl: what each start ran on stays there, whatever starts after it."""

import json
import subprocess

import jax
import pytest
from etils import epath
from support.tiny_voices import train_voices, write_voices

from evc_jax.config import to_mapping
from evc_jax.data.dataset import dataset_digest, dataset_path
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


def test_what_changed_since_the_last_start_is_one_line(voices, tmp_path, monkeypatch, capsys):
    train_voices(voices, tmp_path, steps=2)
    assert list(starts(tmp_path)[0]["datasets"]) == ["voices"]
    train_voices(voices, tmp_path, steps=3)
    assert "other than" not in capsys.readouterr().out
    monkeypatch.setattr(start_log, "versions", lambda: {**start_log_versions, "jax": "99.1"})
    start_log_versions = starts(tmp_path)[0]["versions"]
    monkeypatch.setattr(start_log, "dataset_digest", lambda *_: "other")
    train_voices(voices, tmp_path, steps=4)
    line = f"other than at the last start: jax {start_log_versions['jax']} -> 99.1, data of voices\n"
    assert line in capsys.readouterr().out
    assert start_log.trained_with(tmp_path, 4)["versions"]["jax"] == "99.1"
    assert start_log.trained_with(tmp_path, 3)["versions"] == start_log_versions
    assert set(start_log.trained_with(tmp_path, 2)) == set(start_log.KEPT_IN_BUNDLES)
    assert start_log.trained_with(tmp_path / "none", 2) == {}


def test_a_datasets_digest_follows_its_metadata_and_files(tmp_path):
    folder = dataset_path(write_voices(tmp_path), "voices")
    digest = dataset_digest(tmp_path, "voices")
    (folder / "part-0").write_bytes(b"1")
    more = dataset_digest(tmp_path, "voices")
    (folder / "part-0").write_bytes(b"2")
    assert digest != more == dataset_digest(tmp_path, "voices")  # cheap: of names and sizes
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps({**metadata, "digest": "x"}))
    assert dataset_digest(tmp_path, "voices") != more


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
