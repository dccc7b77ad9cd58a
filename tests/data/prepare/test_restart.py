"""Preparations that are stopped at any moment: what is finished is found again, and the result is the same."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.tiny_corpora import contents, counting_embed, embed, wait_until, write_buzz, write_ravdess

from evc_jax.audio.config import AudioConfig
from evc_jax.data.corpora import Recording
from evc_jax.data.prepare import plan as work_plan
from evc_jax.data.prepare import storage
from evc_jax.data.prepare.builder import prepare
from evc_jax.data.prepare.plan import WorkShard
from evc_jax.data.prepare.tfds_writer import SHARD_EXAMPLES, output_shards

WORK = ".prepare-ravdess"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """35 good recordings and one that is text."""
    root = write_ravdess(tmp_path_factory.mktemp("corpus") / "ravdess", actors=9)
    (root / "Actor_02/03-01-05-01-01-01-02.wav").write_text("no audio")
    return root


@pytest.fixture(scope="module")
def uninterrupted(corpus, tmp_path_factory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("uninterrupted")
    report = make(corpus, out)
    assert len(report.failures) == 1 and report.found == 0
    return contents(out)


@pytest.fixture(scope="module")
def stopped_once(corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        stop_before(patch, "put_in_place", corpus, out)
    assert not (out / "speech").exists()
    return out


@pytest.fixture
def stopped(stopped_once, tmp_path) -> Path:
    """What a run leaves that was stopped just before the end."""
    return shutil.copytree(stopped_once, tmp_path / "stopped")


def make(root: Path, out: Path, **options):
    return prepare("ravdess", root, out, **{"embedder": counting_embed, "workers": 1, "progress": False, **options})


class Stopped(BaseException):
    """Stands for whatever ends a run."""


def stop_before(monkeypatch, name: str, root: Path, out: Path, **options) -> None:
    """Runs until a function of `storage` is called."""

    def stop(*arguments):
        raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(storage, name, stop)
        make(root, out, **options)


def test_a_killed_run_is_continued(corpus, uninterrupted, tmp_path, monkeypatch):
    script = tmp_path / "run.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "if __name__ == '__main__':\n"
        "    from support.tiny_corpora import counting_embed\n"
        "    from evc_jax.data.prepare.builder import prepare\n"
        "    prepare('ravdess', *sys.argv[1:], embedder=counting_embed, workers=1, progress=False)\n"
    )
    slow = dict(os.environ, EVC_TEST_EMBEDDING_S="0.1")
    run = subprocess.Popen([sys.executable, script, corpus, tmp_path / "out"], env=slow)
    features = tmp_path / "out" / WORK / "features"
    wait_until(lambda: len(list(features.glob("*.npz"))) >= 2)
    run.kill()
    run.wait()
    finished = {file.name: file.stat() for file in features.glob("*.npz")}
    assert not (tmp_path / "out/speech").exists()

    calls, lines = tmp_path / "calls", []
    monkeypatch.setenv("EVC_TEST_CALLS", str(calls))
    stop_before(monkeypatch, "put_in_place", corpus, tmp_path / "out", log=lines.append)
    assert len(finished) < len(list(features.iterdir()))
    for name, status in finished.items():
        now = (features / name).stat()
        assert (now.st_ino, now.st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
    (sentence,) = lines
    found = int(sentence.split()[0])
    assert sentence.startswith(f"{found} of 36 recordings were extracted by an earlier run")
    assert len(calls.read_text()) in (36 - found, 35 - found)

    report = make(corpus, tmp_path / "out")
    assert report.found == 36 and len(calls.read_text()) in (36 - found, 35 - found)
    assert contents(tmp_path / "out") == uninterrupted


def test_finished_files_of_the_dataset_are_kept(corpus, uninterrupted, stopped):
    (new,) = (stopped / WORK).glob("new-*")
    missing, *others = sorted(new.glob("*.array_record*"))
    kept = {file.name: file.stat().st_ino for file in others}
    missing.unlink()
    make(corpus, stopped)
    assert contents(stopped) == uninterrupted
    for name, inode in kept.items():
        assert (stopped / "speech/ravdess/1.0.0" / name).stat().st_ino == inode


def test_a_changed_config_starts_anew(corpus, stopped, tmp_path):
    lines, config = [], AudioConfig(mel_bands=40)
    report = make(corpus, stopped, config=config, log=lines.append)
    assert report.found == 0 and not lines
    make(corpus, tmp_path / "clean", config=config)
    assert contents(stopped) == contents(tmp_path / "clean")


def test_settings_embedder_and_recordings_are_in_the_fingerprint():
    settings = work_plan.settings_fingerprint(AudioConfig(), embed)
    assert settings == work_plan.settings_fingerprint(AudioConfig(), embed)
    assert settings != work_plan.settings_fingerprint(AudioConfig(level_dbfs=None), embed)
    assert settings != work_plan.settings_fingerprint(AudioConfig(), counting_embed)
    assert settings != work_plan.settings_fingerprint(AudioConfig(), "jax")


def test_the_fingerprint_covers_all_code_that_makes_features():
    script = (
        "import sys, evc_jax.features.extract, evc_jax.models.voice_encoder, evc_jax.data.prepare.tfds_writer\n"
        "print(*(module.__file__ for name, module in sys.modules.items() if name.startswith('evc_jax.')))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    package = Path(work_plan.__file__).parents[2]
    loaded = {Path(file).relative_to(package).as_posix() for file in run.stdout.split()}
    covered = {file.relative_to(package).as_posix() for pattern in work_plan.CODE for file in package.glob(pattern)}
    # These find, name and check what is then read; no number goes through them.
    others = ("config.py", "errors.py", "files.py", "data/__init__.py", "data/dataset.py", "data/corpora/")
    others += ("data/requirements.py", "data/sampling.py")
    assert {"audio/mel.py", "features/pitch.py", "models/lstm.py", "data/prepare/extract.py"} <= covered
    assert not [name for name in loaded - covered if not name.startswith(others)]


def test_only_the_shard_of_a_changed_recording_is_done_again(corpus, stopped, tmp_path, monkeypatch):
    changed = shutil.copytree(corpus, tmp_path / "changed")
    write_buzz(changed / "Actor_01/03-01-01-01-01-01-01.wav", 300.0)
    monkeypatch.setenv("EVC_TEST_CALLS", str(tmp_path / "calls"))
    report = make(changed, stopped)
    assert 36 - 8 <= report.found < 36
    assert len((tmp_path / "calls").read_text()) in (36 - report.found, 35 - report.found)
    assert report.failures[0].reason.startswith("Actor_02/")


def test_half_written_files_of_the_dataset_are_removed(corpus, uninterrupted, stopped):
    (new,) = (stopped / WORK).glob("new-*")
    (new / f".{'0' * 32}").touch()
    make(corpus, stopped)
    assert contents(stopped) == uninterrupted


def test_half_written_files_count_for_nothing_and_go(corpus, stopped, monkeypatch):
    features = stopped / WORK / "features"
    victim = next(features.iterdir())
    victim.rename(features / f".{'0' * 32}")
    stop_before(monkeypatch, "put_in_place", corpus, stopped)
    assert victim.exists() and not list(features.glob(".*"))


def utterances(number: int) -> list[Recording]:
    names = [f"{i:06d}" for i in range(number)]
    splits = ["train" if i % 5 == 0 else "test" for i in range(number)]
    return [
        Recording(Path(name), name, "s", "male", "sad", "", "", "ä\n", split, "1 1")
        for name, split in zip(names, splits, strict=True)
    ]


@pytest.mark.parametrize("number, size", [(1, 1), (10, 8), (100, 8), (2000, 40)])
def test_the_plan_holds_every_utterance_once_and_does_not_depend_on_their_order(tmp_path, monkeypatch, number, size):
    monkeypatch.setattr(work_plan, "MAX_SHARDS", 50)
    members = utterances(number)
    plan = work_plan.write_plan(storage.make_folder(tmp_path), members, "settings")
    read = [u for shard in plan.shards for u in work_plan.read_utterances(tmp_path, shard)]
    assert sorted(u.utterance_id for u in read) == [u.utterance_id for u in members]
    assert max(shard.utterances for shard in plan.shards) == size
    assert all({u.split for u in work_plan.read_utterances(tmp_path, s)} == {s.split} for s in plan.shards[:3])
    assert work_plan.write_plan(storage.make_folder(tmp_path), members[::-1], "settings") == plan
    assert work_plan.write_plan(storage.make_folder(tmp_path), members, "others").digest != plan.digest


def test_files_of_the_dataset_are_full_whatever_could_not_be_used():
    sizes = [("train", 500), ("train", 3), ("train", 0), ("train", 700), ("test", 40)]
    members = [WorkShard(str(i), split, size, 0, 0) for i, (split, size) in enumerate(sizes)]
    output = output_shards(members, [size for _, size in sizes])
    assert [(s.split, s.index, s.total, s.utterances) for s in output] == [
        ("train", 0, 3, SHARD_EXAMPLES),
        ("train", 1, 3, SHARD_EXAMPLES),
        ("train", 2, 3, 1203 - 2 * SHARD_EXAMPLES),
        ("test", 0, 1, 40),
    ]
    pieces = [piece for shard in output for piece in shard.pieces]
    covered = {i: sorted((p.start, p.stop) for p in pieces if p.shard is member) for i, member in enumerate(members)}
    assert [np.sum([stop - start for start, stop in covered[i]]) for i in range(5)] == [size for _, size in sizes]
    assert covered[3] == [(0, 9), (9, 521), (521, 700)]
