"""A training imports nothing that decodes recordings or estimates F0: the dataset holds mel and F0 already."""

import os
import subprocess
import sys
from pathlib import Path

from support.buzzers import prepare_buzzers
from support.tiny_systems import QUICK_COMPILATION

ROOT = Path(__file__).resolve().parents[2]
AUDIO = ("librosa", "pyworld", "soundfile", "soxr", "webrtcvad")
FRAMEWORKS = ("tensorflow", "torch")  # etils asks whether TensorFlow is there, without importing it
SCRIPT = f"""
import runpy, sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {AUDIO}:
            raise ModuleNotFoundError(f"{{name}} is refused", name=name)

sys.meta_path.insert(0, Refused())
try:
    runpy.run_path("scripts/train.py", run_name="__main__")
finally:
    assert not {{*{AUDIO}, *{FRAMEWORKS}}} & set(sys.modules)
"""


def test_speechsplit_trains_without_libraries_for_audio(tmp_path):
    data = prepare_buzzers(tmp_path)
    changes = {"steps": 2, "log_every": 1, "validate_every": 2, "checkpoint_every": 2, "data.data_dir": data}
    settings = [f"--config.{key}={value}" for key, value in {**changes, "data.datasets": "ravdess"}.items()]
    command = ["--config=configs/speechsplit.py:tiny", f"--workdir={tmp_path / 'run'}", *settings]
    environment = {**os.environ, **QUICK_COMPILATION, "XLA_FLAGS": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *command], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) >= 3
