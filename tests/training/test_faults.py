"""A training that is killed, preempted, damaged or out of disk: nothing is lost, and what happened is one sentence."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_systems import QUICK_COMPILATION
from support.tiny_voices import records, train_voices, write_voices

from evc_jax.errors import CheckpointError, TrainingError
from evc_jax.pretrained.workdir import load_for_inference, saved_steps
from evc_jax.training import checkpoints

pytestmark = pytest.mark.usefixtures("quick_programs")
ROOT = Path(__file__).resolve().parents[2]
# A mount of its own, if the system lets us: a file system of 3 MB for the command.
ON_A_SMALL_DISK = 'mount -t tmpfs -o size=3m none "$1" && shift && exec "$@"'


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    return write_voices(tmp_path_factory.mktemp("voices"))


@pytest.fixture(scope="module")
def calm(voices, tmp_path_factory):
    """A training of 15 steps that nothing happened to."""
    workdir = tmp_path_factory.mktemp("calm")
    train_voices(voices, workdir, steps=15)
    return workdir


def _launch(voices, steps):
    """Arguments of scripts/train.py for the same training."""
    changes = {"steps": steps, "checkpoint_every": 10, "validate_every": 50, "log_every": 1}
    arguments = [f"--config.{key}={value}" for key, value in changes.items()]
    data = [f"--config.data.data_dir={voices}", "--config.data.datasets=voices"]
    return [f"--config={ROOT / 'configs' / 'voicegan.py'}:tiny", *data, *arguments]


def _chaos(voices, out, *options, steps):
    command = [sys.executable, "scripts/chaos_train.py", f"--out={out}", *options, "--", *_launch(voices, steps)]
    environment = {**os.environ, **QUICK_COMPILATION, "EVC_CACHE_DIR": str(out / "cache"), "XLA_FLAGS": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    return done, (out / "report.md").read_text() if done.returncode < 2 else done.stderr


@pytest.mark.slow
def test_preemption_and_two_kills_change_no_number(voices, tmp_path):
    done, report = _chaos(voices, tmp_path, "--kills=3", "--signals", "TERM", "KILL", "KILL", steps=150)
    assert done.returncode == 0, report
    assert report.startswith("# 3 kills: every number is the same")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.splitlines() if line.startswith("| ")]
    heading, *kills = rows
    codes, moments = ([row[heading.index(name)] for row in kills] for name in ("exit code", "moment"))
    assert codes == ["0", "-9", "-9"] and "while saving" in moments
    # Preempted, it saves and ends well, within the time that a cloud leaves it.
    assert float(kills[0][heading.index("seconds to end")]) < 30
    assert "asked to stop: saved step" in (tmp_path / "killed-0.log").read_text()


def _damage_values(damage, folder):
    """Damages every file that may hold the values: Orbax leaves copies of some that it does not read again."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    largest = max(path.stat().st_size for path in files)
    for path in files:
        if path.stat().st_size > largest // 2:
            damage(path)


def _truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def _largest(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: _damage_values(_truncate, folder / "state"),
        lambda folder: _damage_values(_flip_a_bit, folder / "state"),
        lambda folder: shutil.rmtree(folder / "state"),
        lambda folder: _truncate(folder / "description" / "metadata"),
        lambda folder: (folder / "progress" / "metadata").unlink(),
    ],
    ids=["truncated", "bit flipped", "state gone", "description truncated", "progress gone"],
)
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(damage, voices, calm, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(calm, workdir)
    damage(workdir / "checkpoints" / "15")
    train_voices(voices, workdir, steps=15)
    printed = capsys.readouterr().out
    assert "checkpoint 15 is damaged" in printed and "resumed voicegan from step 10" in printed
    assert records(workdir) == records(calm)
    assert saved_steps(workdir)[-1] == 15 and (workdir / "damaged" / "15").is_dir()


def test_when_every_checkpoint_is_damaged_the_training_does_not_start_anew(voices, calm, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(calm, workdir)
    for step in saved_steps(workdir):
        shutil.rmtree(workdir / "checkpoints" / str(step) / "state")
    with pytest.raises(CheckpointError, match=r"None of the checkpoints .* can be read \(step 15: .*move the folder"):
        train_voices(voices, workdir, steps=20)
    assert saved_steps(workdir)[-1] == 15


def test_a_damaged_checkpoint_is_not_made_into_a_bundle(calm, tmp_path):
    shutil.copytree(calm, tmp_path / "run")
    _truncate(_largest(tmp_path / "run" / "checkpoints" / "15" / "exported"))
    with pytest.raises(CheckpointError, match="15 cannot be read .*; remove it, and the one before it is used"):
        load_for_inference(tmp_path / "run")


def test_a_full_disk_is_noticed_before_writing(voices, calm, tmp_path, monkeypatch):
    workdir = tmp_path / "run"
    shutil.copytree(calm, workdir)
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    message = r"is full \(a checkpoint takes .* MB, 0.0 are free\); the checkpoint of step 15 is intact: make room"
    with pytest.raises(TrainingError, match=message):
        train_voices(voices, workdir, steps=20)
    monkeypatch.undo()
    assert load_for_inference(workdir).step == 15


@pytest.mark.slow
def test_a_disk_that_fills_up_stops_the_run_with_one_sentence(voices, tmp_path):
    probe = ["unshare", "--mount", "--map-root-user", "sh", "-c", ON_A_SMALL_DISK, "sh"]
    workdir = tmp_path / "disk"
    workdir.mkdir()
    try:
        subprocess.run([*probe, workdir, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small file system can be mounted here ({error})")
    # The shell after the training checks, still inside the mount, whether an earlier checkpoint can be read.
    check = (
        'python=$1; shift; "$python" scripts/train.py --workdir="$0/run" "$@"; code=$?; '
        '"$python" -c "import sys; from evc_jax.pretrained.workdir import load_for_inference as load; '
        'print(\'readable\', load(sys.argv[1]).step)" "$0/run"; exit $code'
    )
    command = [*probe, workdir, "sh", "-c", check, workdir, sys.executable, *_launch(voices, 400)]
    keep = ["--config.keep_checkpoints=400", "--config.checkpoint_every=5"]
    done = subprocess.run([*command, *keep], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    assert "is full (" in done.stderr and "is intact: make room and give the same command again" in done.stderr
    # Orbax's own threads may print what failed in them; the run itself ends with its sentence.
    assert "\nevc train: The disk of " in "\n" + done.stderr and "readable" in done.stdout


def test_another_config_is_refused_with_the_keys_that_differ(voices, calm, tmp_path):
    widths = r"config.model.generator_widths \(.* there, .*16.* now\)"
    with pytest.raises(CheckpointError, match=rf"{widths}, config.model.noise_dim \(16 there, 8 now\)"):
        train_voices(voices, calm, steps=20, model={"generator_widths": (16,), "noise_dim": 8})
    with pytest.raises(CheckpointError, match=r"another config.ema_decay \(0.0 there, 0.9 now\)"):
        train_voices(voices, calm, steps=20, ema_decay=0.9)


def test_a_loss_that_is_not_a_number_stops_the_run(voices, tmp_path):
    changes = {"steps": 12, "checkpoint_every": 2, "log_every": 4}
    train_voices(voices, tmp_path, **{**changes, "steps": 2})
    message = r"Step \d of voicegan gave .* (nan|-?inf) on speaker-\d+, .*; the last good checkpoint is step 2 of .*low"
    with pytest.raises(TrainingError, match=message):
        train_voices(voices, tmp_path, **changes, optimizer={"learning_rate": 1e30})
    assert saved_steps(tmp_path)[-1] == 2


def test_the_last_ones_and_the_best_are_kept(voices, tmp_path):
    often = {"checkpoint_every": 2, "validate_every": 2, "keep_checkpoints": 2}
    train_voices(voices, tmp_path, steps=12, **often)
    validations = [record for record in records(tmp_path) if record["split"] == "validation" and record["step"]]
    scores = {record["step"]: record["fake_classification"] for record in validations}
    best = min(scores, key=scores.get)
    assert best < 10 and saved_steps(tmp_path) == [best, 10, 12]
    train_voices(voices, tmp_path, steps=13, **often)  # a later start still knows which one is the best
    assert saved_steps(tmp_path) == [best, 12, 13]


def test_more_steps_rates_and_batch_sizes_may_change(voices, calm, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(calm, workdir)
    train_voices(voices, workdir, steps=17, batch_size=16, optimizer={"learning_rate": 1e-5, "clip_norm": 1.0})
    assert saved_steps(workdir)[-1] == 17
    assert records(workdir)[: len(records(calm))] == records(calm)


def test_the_best_of_all_is_kept_over_resumes_and_can_be_loaded(voices, tmp_path):
    changes = {"checkpoint_every": 2, "validate_every": 2, "keep_checkpoints": 1}
    for steps in (6, 8, 12):
        train_voices(voices, tmp_path, steps=steps, **changes)
        scores = {line["step"]: line["fake_classification"] for line in records(tmp_path) if line["split"] != "train"}
        best = min(list(scores)[1:], key=scores.get)  # before step 2 nothing was saved
        assert saved_steps(tmp_path) == sorted({best, steps})
        assert load_for_inference(tmp_path, "best").step == best
        assert load_for_inference(tmp_path).step == load_for_inference(tmp_path, str(steps)).step == steps


@pytest.mark.parametrize("checkpoint", [7, "newest"])
def test_a_checkpoint_that_is_not_there_is_named_with_those_that_are(checkpoint, calm):
    with pytest.raises(CheckpointError, match=rf"has no checkpoint '?{checkpoint}'?; name best, last or one of 5, 10"):
        load_for_inference(calm, checkpoint)


def test_without_a_validation_no_checkpoint_is_the_best(calm, tmp_path):
    shutil.copytree(calm, tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").unlink()
    with pytest.raises(CheckpointError, match="was validated by config.best_metric; name last or one of 5, 10, 15"):
        load_for_inference(tmp_path / "run", "best")
