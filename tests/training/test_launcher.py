"""`scripts/train.py`: what is wrong with a launch is one sentence and exit code 2."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--config=configs/waveglow.py:huge"], "This config has no variant 'huge'; it has: full, light, small, tiny."),
        (
            ["--config=configs/waveglow.py:tiny", "--config.bach=3"],
            "The config has no key 'bach'; name one of batch_size.",
        ),
        (["--config=configs/waveglow.py:tiny", "--config.batch_size=0"], "batch_size is 0; expected at least 1."),
        (
            ["--config=configs/waveglow.py:tiny,steps=3"],
            "This config has no variant 'tiny,steps=3'; it has: full, light, small, tiny.",
        ),
        (["--config=configs/none.py:tiny"], "There is no config 'configs/none.py'; give --config="),
        (["--config=configs/waveglow.py:tiny", "stray"], "The argument 'stray' is unexpected"),
    ],
)
def test_a_wrong_launch_is_one_sentence(arguments, sentence, tmp_path):
    command = [sys.executable, "scripts/train.py", f"--workdir={tmp_path / 'run'}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
