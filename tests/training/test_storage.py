"""What the machine refuses a training is one sentence that names the right place, and nothing is left behind."""

import errno
import os
import re
from pathlib import Path

import jax
import pytest
from etils import epath
from support.tiny_systems import load_config
from support.tiny_voices import train_voices, voices_config, write_voices

from evc_jax.errors import TrainingError
from evc_jax.training import loop, storage

pytestmark = pytest.mark.usefixtures("quick_programs")


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    return write_voices(tmp_path_factory.mktemp("voices"))


@pytest.mark.parametrize("place", ["file", "file/run", "link", "link/run"])
def test_a_work_directory_that_cannot_be_a_folder_is_refused(place, voices, tmp_path):
    (tmp_path / "file").write_text("notes")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(
        TrainingError, match=r"The work directory .* cannot be written \(.* is no folder\); give another"
    ):
        train_voices(voices, tmp_path / place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]
    assert (tmp_path / "file").read_text() == "notes"


@pytest.mark.parametrize("folder", [".", "a/b"])
def test_a_folder_without_permission_is_refused(folder, voices, tmp_path, monkeypatch):
    monkeypatch.setattr(storage.os, "access", lambda path, mode: Path(path) != tmp_path)  # root may write anywhere
    with pytest.raises(TrainingError, match=rf"cannot be written \({tmp_path} does not permit it\); give another"):
        train_voices(voices, tmp_path / folder)
    assert not list(tmp_path.iterdir())


def test_missing_data_leaves_no_work_directory(tmp_path):
    with pytest.raises(ValueError, match="There is no dataset"):
        train_voices(tmp_path / "none", tmp_path / "run")
    assert not (tmp_path / "run").exists()


OUT_OF_MEMORY = [
    MemoryError("Unable to allocate 8.00 GiB"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8589934592 bytes."),
    jax.errors.JaxRuntimeError("INTERNAL: std::bad_alloc"),
    RuntimeError("can't start new thread"),
    jax.errors.JaxRuntimeError("Ran out of memory in memory space hbm. Used 18.50G of 15.48G hbm."),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_too_little_memory_names_the_settings_that_need_less(error, tmp_path, voices):
    config = voices_config(voices, batch_size=512)
    message = r"batch_size 512 \(.*\); lower config.batch_size and raise config.accumulate"
    with pytest.raises(TrainingError, match=message), storage.machine_errors(config, epath.Path(tmp_path)):
        raise error


@pytest.mark.parametrize(
    "backend, error, keys",
    [
        ("tpu", OUT_OF_MEMORY[-1], ["batch_size", "accumulate", "options.remat=True", "compute_dtype=bfloat16"]),
        ("tpu", OUT_OF_MEMORY[0], ["batch_size", "accumulate", "options.remat=True", "data.read_threads"]),
        ("cpu", OUT_OF_MEMORY[2], ["batch_size", "accumulate", "options.remat=True", "data.read_threads"]),
    ],
)
def test_the_keys_are_those_of_the_memory_that_is_full(backend, error, keys, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    with pytest.raises(TrainingError) as caught, storage.machine_errors(load_config("waveglow"), epath.Path(tmp_path)):
        raise error
    assert re.findall(r"config\.([\w.=]+\w)", str(caught.value)) == keys


def test_memory_that_runs_out_in_a_step_ends_the_training(voices, tmp_path, monkeypatch):
    def fail(self, step, count):
        raise OUT_OF_MEMORY[2]

    monkeypatch.setattr(loop.Run, "train_steps", fail)
    with pytest.raises(TrainingError, match="Memory ran out"):
        train_voices(voices, tmp_path)


@pytest.mark.parametrize(
    "error, place",
    [
        (OSError(errno.ENOSPC, "No space left on device", "{workdir}/codes/train.npz"), "{workdir}/codes/train.npz"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/elsewhere/file"), "/elsewhere/file"),
        (OSError(errno.ENOSPC, "No space left on device"), "{workdir} or {full}"),
        (ValueError("RESOURCE_EXHAUSTED: Error writing local file: No space left on device"), "{workdir} or {full}"),
    ],
    ids=str,
)
def test_a_full_disk_is_the_right_one(error, place, voices, tmp_path, monkeypatch):
    workdir, full = tmp_path / "run", tmp_path / "tmp"
    for folder in (workdir, full):
        folder.mkdir()
    if getattr(error, "filename", None):
        error.filename = error.filename.format(workdir=workdir)
    monkeypatch.setattr(storage.tempfile, "gettempdir", lambda: str(full))
    expected = f"The disk of {place.format(workdir=workdir, full=full)} is full"
    with (
        pytest.raises(TrainingError, match=expected),
        storage.machine_errors(voices_config(voices), epath.Path(workdir)),
    ):
        raise error


def test_a_file_that_is_not_written_whole_leaves_the_old_one_and_nothing_beside(tmp_path):
    file = epath.Path(tmp_path / "codes.npz")
    file.write_text("old")
    with pytest.raises(OSError, match="full"), storage.replaced_file(file) as opened:
        opened.write(b"ne")
        raise OSError(errno.ENOSPC, "full")
    assert file.read_text() == "old" and os.listdir(tmp_path) == ["codes.npz"]


def test_the_steps_that_are_named_are_traced(voices, tmp_path):
    train_voices(voices, tmp_path, steps=4, profile_steps="2:3")
    (trace,) = (tmp_path / "profile").glob("plugins/profile/*/*.xplane.pb")
    content = trace.read_bytes()
    assert b"step_num" in content and content.count(b"train") >= 1


def test_a_trace_of_a_training_that_ends_before_is_written(voices, tmp_path):
    train_voices(voices, tmp_path, steps=2, profile_steps="2:30")
    assert list((tmp_path / "profile").glob("plugins/profile/*/*.xplane.pb"))
