"""`scripts/sweep.py`: one command per point, each of which scripts/train.py would accept."""

import importlib.util
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from evc_jax.training.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "configs/codegan.py:small"


@pytest.fixture
def sweep(monkeypatch):
    """The script as a function from its arguments to its exit code."""
    spec = importlib.util.spec_from_file_location("sweep", ROOT / "scripts" / "sweep.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(ROOT)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["sweep.py", *arguments])
        return module.main()

    return run


def printed(capsys):
    return [shlex.split(line) for line in capsys.readouterr().out.splitlines()]


def parsed(command):
    """The configuration that a printed command would train."""
    settings = [word for word in command if word.startswith("--config.")]
    return load_settings(command[2].removeprefix("--config="), settings)


def test_one_command_per_point_of_the_grid(sweep, capsys):
    grid = ["optimizer.learning_rate=1e-4,3e-4", "options.discriminator_steps=3,5"]
    assert sweep(f"--config={CONFIG}", "--workdir=runs/sweep/", *grid, "--config.seed=7", "--distributed=auto") == 0
    lines = printed(capsys)
    assert lines[0] == [
        "python",
        "scripts/train.py",
        f"--config={CONFIG}",
        "--workdir=runs/sweep/learning_rate=1e-4,discriminator_steps=3",
        "--config.seed=7",
        "--distributed=auto",
        "--config.optimizer.learning_rate=1e-4",
        "--config.options.discriminator_steps=3",
    ]
    points = [parsed(line) for line in lines]
    assert [(p.optimizer.learning_rate, p.options["discriminator_steps"], p.seed) for p in points] == [
        (1e-4, 3, 7),
        (1e-4, 5, 7),
        (3e-4, 3, 7),
        (3e-4, 5, 7),
    ]
    assert len({line[3] for line in lines}) == 4


def test_values_that_are_lists_survive_the_shell(sweep, capsys):
    grid = ["data.datasets=ravdess,ravdess+emodb", "model.down_widths=64+128+256,8+16+32"]
    assert sweep(f"--config={CONFIG}", "--workdir=gs://bucket/sweep", *grid) == 0
    lines = printed(capsys)
    points = [parsed(line) for line in lines]
    assert [p.data.datasets for p in points[::2]] == [("ravdess",), ("ravdess", "emodb")]
    assert [tuple(p.model["down_widths"]) for p in points[:2]] == [(64, 128, 256), (8, 16, 32)]
    assert lines[3][3] == "--workdir=gs://bucket/sweep/datasets=ravdess+emodb,down_widths=8+16+32"


def test_a_key_that_holds_none_is_set_like_any_other(sweep, capsys):
    assert sweep("--config=configs/waveglow.py", "--workdir=runs", "optimizer.clip_norm=1.0,None") == 0
    lines = printed(capsys)
    setting = "--config.optimizer.clip_norm=1.0"
    assert lines[0][2:] == ["--config=configs/waveglow.py", "--workdir=runs/clip_norm=1.0", setting]
    assert lines[1][4:] == ["--config.optimizer.clip_norm=None"]
    assert [parsed(line).optimizer.clip_norm for line in lines] == [1.0, None]


def test_a_path_as_a_value_makes_one_folder(sweep, capsys):
    assert sweep(f"--config={CONFIG}", "--workdir=runs", "options.speechsplit=a/b,gs://c") == 0
    folders = [line[3] for line in printed(capsys)]
    assert folders == ["--workdir=runs/speechsplit=a_b", "--workdir=runs/speechsplit=gs:__c"]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["learning_rate=1,2"], "The config has no key 'learning_rate'; name one of optimizer.learning_rate."),
        (["optimizer.beta=1,2"], "The config has no key 'optimizer.beta'; name one of optimizer.beta"),
        (["seed=1,2", "--config.sed=3"], "The config has no key 'sed'; name one of seed."),
        (["batch_size=4,0"], "config.batch_size is 0; expected at least 1."),
        (["batch_size=4,four"], "config.batch_size is 'four'; expected a whole number."),
        (["options.code=pitch,melody"], "config.options.code is 'melody'; expected one of content"),
        (["seed="], "'seed=' is no axis of a grid; write seed=VALUE,VALUE,... with different values."),
        (["seed=1,1"], "'seed=1,1' is no axis of a grid"),
        (["options.speechsplit=a/b,a_b"], "is no axis of a grid"),
        (["seed=1", "seed=2"], "A key is swept twice in seed=1 seed=2; give all of its values at once."),
        (["seed=1", "--config=configs/none.py"], "There is no config 'configs/none.py'; give --config="),
        (["seed=1", "--config=configs/codegan.py:huge"], "This config has no variant 'huge'"),
    ],
)
def test_what_cannot_be_trained_is_refused(sweep, capsys, arguments, sentence):
    assert sweep(f"--config={CONFIG}", "--workdir=runs", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("sweep: ") and sentence in captured.err


def test_help_teaches_and_strays_are_named():
    done = subprocess.run([sys.executable, "scripts/sweep.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "ravdess,ravdess+emodb" in done.stdout
    arguments = [f"--config={CONFIG}", "--workdir=runs", "seed=1", "--workdirs=x"]
    done = subprocess.run([sys.executable, "scripts/sweep.py", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "unknown argument --workdirs=x" in done.stderr
