"""`evc train`: which configs it takes, what it prints, and the commands of `--sweep`."""

import configparser
import shlex
from pathlib import Path

import pytest

from evc_jax.cli.commands import main
from evc_jax.errors import ConfigError
from evc_jax.training.config import packaged_configs
from evc_jax.training.settings import load_settings

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "configs/codegan.py:small"


@pytest.fixture
def sweep(monkeypatch):
    """`evc train --sweep` as a function from the axes and further arguments to the exit code."""
    monkeypatch.chdir(ROOT)
    return lambda *words: main(["train", *words])


def printed(capsys):
    return [shlex.split(line) for line in capsys.readouterr().out.splitlines()]


def parsed(command):
    """The configuration that a printed command would train."""
    settings = [word for word in command if word.startswith("--config.")]
    return load_settings(command[2].removeprefix("--config="), settings)


def test_one_command_per_point_of_the_grid(sweep, capsys):
    grid = ["optimizer.learning_rate=1e-4,3e-4", "options.discriminator_steps=3,5"]
    shared = ["--config.seed=7", "--distributed=auto"]
    assert sweep(f"--config={CONFIG}", "--workdir=runs/sweep/", "--sweep", *grid, *shared) == 0
    lines = printed(capsys)
    assert lines[0] == [
        "evc",
        "train",
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
    assert sweep(f"--config={CONFIG}", "--workdir=gs://bucket/sweep", "--sweep", *grid) == 0
    lines = printed(capsys)
    points = [parsed(line) for line in lines]
    assert [p.data.datasets for p in points[::2]] == [("ravdess",), ("ravdess", "emodb")]
    assert [tuple(p.model["down_widths"]) for p in points[:2]] == [(64, 128, 256), (8, 16, 32)]
    assert lines[3][3] == "--workdir=gs://bucket/sweep/datasets=ravdess+emodb,down_widths=8+16+32"


def test_a_key_that_holds_none_is_set_like_any_other(sweep, capsys):
    assert sweep("--config=waveglow", "--workdir=runs", "--sweep", "optimizer.clip_norm=1.0,None") == 0
    lines = printed(capsys)
    setting = "--config.optimizer.clip_norm=1.0"
    assert lines[0][2:] == ["--config=waveglow", "--workdir=runs/clip_norm=1.0", setting]
    assert lines[1][4:] == ["--config.optimizer.clip_norm=None"]
    assert [parsed(line).optimizer.clip_norm for line in lines] == [1.0, None]


def test_a_path_as_a_value_makes_one_folder(sweep, capsys):
    assert sweep(f"--config={CONFIG}", "--workdir=runs", "--sweep", "options.speechsplit=a/b,gs://c") == 0
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
    assert sweep(f"--config={CONFIG}", "--workdir=runs", "--sweep", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("evc train: ") and sentence in captured.err


def test_options_of_every_training_are_in_every_command(sweep, capsys):
    words = ["--sweep", "seed=1,2", "--stopped-code=42", "--verbosity=info", "--profiler-port=9000"]
    assert sweep("--config=codegan:tiny", "--workdir=runs", *words) == 0
    for line in printed(capsys):
        assert line[4:7] == ["--stopped-code=42", "--verbosity=info", "--profiler-port=9000"]


def test_the_configs_of_the_checkout_are_those_of_the_package():
    assert {path.name for path in (ROOT / "configs").glob("*.py")} == {p.name for p in packaged_configs().values()}
    assert all(path.samefile(ROOT / "configs" / path.name) for path in packaged_configs().values())
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert "configs/*.py" in settings["options.package_data"]["evc_jax"].split()


def test_a_config_is_a_name_or_a_file(tmp_path, monkeypatch):
    own = tmp_path / "mine.py"
    own.write_bytes((ROOT / "configs" / "prosody.py").read_bytes())
    monkeypatch.chdir(ROOT)
    expected = load_settings("configs/prosody.py:small")
    assert load_settings("prosody:small") == load_settings(f"{own}:small") == expected
    assert load_settings("prosody") == load_settings("configs/prosody.py") != expected
    monkeypatch.chdir(tmp_path)  # an installed package has no checkout around it
    assert load_settings("prosody:small") == load_settings("mine.py:small") == expected
    with pytest.raises(ConfigError, match="no config 'configs/prosody.py'; give --config=prosody:VARIANT for one of"):
        load_settings("configs/prosody.py:small")


def test_the_configs_are_listed(capsys):
    assert main(["train", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2][-1] == "waveglow          WaveGlow, the vocoder." and lines[-1].split() == [
        *("full,", "light,", "small,", "tiny")
    ]
    assert len(lines) == 2 * len(packaged_configs())


@pytest.mark.parametrize(
    "words, sentence",
    [
        ([], "A training needs --config=NAME:VARIANT; `evc train --list` shows"),
        (["--config=codegan:tiny"], "A training needs --workdir=DIR; `evc train --list` shows"),
        (["--config=codgan:tiny", "--workdir=x"], "There is no config 'codgan'; give --config=NAME:VARIANT for one"),
        (["--config=codegan:tiny", "--workdir=x", "stray"], "The argument 'stray' is unexpected"),
        (["--conf=codegan:tiny", "--workdir=x"], "A training needs --config"),
    ],
)
def test_a_command_that_lacks_something_is_one_sentence(words, sentence, capsys):
    assert main(["train", *words]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"evc train: {sentence}") and errors.count("\n") == 1


def test_other_commands_still_refuse_what_they_do_not_know(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["voices", "--list", "--config.seed=3"])
    assert ended.value.code == 2 and "unrecognized argument --config.seed=3" in capsys.readouterr().err
