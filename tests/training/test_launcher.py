"""`scripts/train.py`: what is wrong with a launch is one sentence and exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_voices import records, write_voices

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--config=configs/waveglow.py:huge"], "This config has no variant 'huge'; it has: full, light, small, tiny."),
        (
            ["--config=configs/waveglow.py:tiny", "--config.bach=3"],
            "train: The config has no key 'bach'; name one of batch_size.\n",
        ),
        (["--config=configs/waveglow.py:tiny", "--config.batch_size=0"], "batch_size is 0; expected at least 1."),
        (
            ["--config=configs/waveglow.py:tiny,steps=3"],
            "This config has no variant 'tiny,steps=3'; it has: full, light, small, tiny.",
        ),
        (["--config=configs/none.py:tiny"], "There is no config 'configs/none.py'; give --config="),
        (["--config=configs/waveglow.py:tiny", "stray"], "The argument 'stray' is unexpected"),
        (["--config=runs/none/config.json"], "The config 'runs/none/config.json' cannot be read (FileNotFoundError"),
        (["--config=configs/waveglow.py:tiny", "--verbosity=loud"], "argument --verbosity: invalid choice: 'loud'"),
        (["--config=configs/waveglow.py:tiny", "--profiler-port=70000"], "invalid port value: '70000'"),
    ],
)
def test_a_wrong_launch_is_one_sentence(arguments, sentence, tmp_path):
    command = [sys.executable, "scripts/train.py", f"--workdir={tmp_path / 'run'}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """A short training of VoiceGAN by the script, as a function of further words and variables."""
    data = write_voices(tmp_path_factory.mktemp("data"))
    often = [f"--config.{key}_every=1" for key in ("log", "validate", "checkpoint")]
    first = [
        "--config=configs/voicegan.py:tiny",
        f"--config.data.data_dir={data}",
        "--config.data.datasets=voices",
        *often,
    ]

    def run(*words, **variables):
        words = words if any(word.startswith("--config=") for word in words) else [*first, *words]
        command, environment = [sys.executable, "scripts/train.py", *words], {**os.environ, **variables}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)

    return run


def test_a_run_is_repeated_from_its_config(launch, tmp_path):
    run, again = tmp_path / "run", tmp_path / "again"
    done = launch(f"--workdir={run}", "--config.steps=2", JAX_LOG_COMPILES="1")
    assert done.returncode == 0, done.stderr
    assert "Compiling jit(" in done.stderr and ":absl:" not in done.stderr
    done = launch(f"--config={run / 'config.json'}", f"--workdir={again}", "--config.optimizer.clip_norm=None")
    assert (done.returncode, done.stderr) == (0, "")
    assert records(again) == records(run)
    assert (again / "config.json").read_text() == (run / "config.json").read_text()
    # Orbax logs the traceback of a checkpoint that cannot be read; the sentence is enough.
    for file in (again / "checkpoints").glob("*/state/**/*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:3])
    done = launch(f"--config={again / 'config.json'}", f"--workdir={again}", "--config.steps=3")
    assert done.returncode == 2
    assert done.stderr.startswith("train: None of the checkpoints") and done.stderr.count("\n") == 1
