"""`scripts/train.py`: what is wrong with a launch is one sentence and exit code 2."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_systems import QUICK_COMPILATION
from support.tiny_voices import records, write_voices

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--config=configs/waveglow.py:huge"], "This config has no variant 'huge'; it has: full, light, small, tiny."),
        (
            ["--config=configs/waveglow.py:tiny", "--config.bach=3"],
            "evc train: The config has no key 'bach'; name one of batch_size.\n",
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
        (
            ["--config=configs/waveglow.py:tiny", "--profiler-port=70000"],
            "'70000' was given, expected a whole number from 1 to 65535",
        ),
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

    def start(*words, **variables):
        words = words if any(word.startswith("--config=") for word in words) else [*first, *words]
        command = [sys.executable, "scripts/train.py", *words]
        environment = {**os.environ, **QUICK_COMPILATION, **variables}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)

    return start


def finished(process):
    """Exit code and standard error."""
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def test_a_training_that_is_asked_to_stop_says_so_by_its_exit_code(launch, tmp_path):
    process = launch(f"--workdir={tmp_path}", "--config.steps=1000000", "--stopped-code=42")
    while "step 1/" not in process.stdout.readline():
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGTERM)
    assert finished(process) == (42, "")


def test_a_run_is_repeated_from_its_config(launch, tmp_path):
    run, again = tmp_path / "run", tmp_path / "again"
    code, errors = finished(launch(f"--workdir={run}", "--config.steps=2", "--stopped-code=42", JAX_LOG_COMPILES="1"))
    assert code == 0, errors
    assert "Compiling jit(" in errors and ":absl:" not in errors
    words = [f"--config={run / 'config.json'}", f"--workdir={again}"]
    assert finished(launch(*words, "--config.optimizer.clip_norm=None")) == (0, "")
    assert records(again) == records(run)
    assert (again / "config.json").read_text() == (run / "config.json").read_text()
    # Orbax logs the traceback of a checkpoint that cannot be read; the sentence is enough.
    for file in (again / "checkpoints").glob("*/state/**/*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:3])
    code, errors = finished(launch(*words, "--config.steps=3"))
    assert code == 2
    assert errors.startswith("evc train: None of the checkpoints") and errors.count("\n") == 1
