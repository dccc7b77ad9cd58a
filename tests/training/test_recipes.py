"""The commands of docs/training.md, run as they stand there on miniature corpora, the trainings for two steps."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_corpora import write_buzz, write_folder, write_iemocap, write_ravdess, write_vctk
from support.tiny_systems import QUICK_COMPILATION

from evc_jax.pretrained.bundle import load_bundle

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "training.md"
# The last section needs the corpora of the embedded bundle.
RECIPES = PAGE.read_text().partition("## All networks of a bundle")[0]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", RECIPES, re.DOTALL | re.MULTILINE)
# As `evc`: trainings are short, and tiny but where they start with the embedded bundle's parameters.
EVC = """#!/bin/sh
if [ "$1" = train ] && [ "$2" != --list ]; then
  case "$*" in *embedded*) ;; *) small=$(echo "$2" | sed s/:small/:tiny/); shift 2; set -- train "$small" "$@" ;; esac
  set -- "$@" --config.steps=2 --config.optimizer.decay_from_step=None --config.validation_samples=8
fi
exec "{python}" -m evc_jax "$@"
"""


@pytest.mark.slow
@pytest.mark.release
def test_every_command_of_the_page_does_what_it_says(tmp_path):
    write_ravdess(tmp_path / "RAVDESS_FOLDER")
    write_folder(tmp_path / "MY_SPEECH")
    write_vctk(tmp_path / "VCTK_FOLDER")
    write_iemocap(tmp_path / "IEMOCAP_FOLDER")
    write_buzz(tmp_path / "hello.wav", 140, 2.0)
    program = tmp_path / "bin" / "evc"
    program.parent.mkdir()
    program.write_text(EVC.format(python=sys.executable))
    program.chmod(0o755)
    paths = {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment = {**os.environ, **QUICK_COMPILATION, "XLA_FLAGS": "", **paths}
    for block in BLOCKS:
        command = ["bash", "-euo", "pipefail", "-c", block]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    assert load_bundle(tmp_path / "my_bundle").has("prosody") and (tmp_path / "sad.wav").is_file()
    bundle = load_bundle(tmp_path / "paper_bundle")
    assert bundle.emotions == ("neutral", "happy", "sad", "angry") and (tmp_path / "angry.wav").is_file()
    assert bundle.description["networks"]["codegan"]["trained"]["datasets"].keys() == {"iemocap"}
    assert len(BLOCKS) == 4
