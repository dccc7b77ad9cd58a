"""What works without the packages of an extra, and what says that it needs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evc_jax import extras
from evc_jax.errors import ConfigError
from evc_jax.files import ASSETS

ROOT = Path(__file__).resolve().parent.parent
# Stands for a machine without the extra `train`: neither its modules nor what they bring can be found.
WITHOUT = """
import sys
class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in GONE:
            raise ModuleNotFoundError(name, name=name)
GONE = {*MODULES, "array_record", "tensorflow_metadata", "tensorboard"}
sys.meta_path.insert(0, Missing)
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name.split(".")[0] in GONE else found(name, package)
""".replace("MODULES", repr(extras.MODULES["train"]))


def run_without(code: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", WITHOUT + code, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ASSETS
    )


def test_an_extra_that_is_there_is_no_error():
    extras.require_extra("train", "A training")
    assert extras.missing_modules("train") == []


def test_an_extra_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(extras.MODULES, "train", ("grain", "no_such_module"))
    with pytest.raises(ConfigError, match=r"A training needs no_such_module; run `pip install 'evc_jax\[train\]'`"):
        extras.require_extra("train", "A training")


def test_what_converts_needs_nothing_of_the_trainings(tiny_bundle, tmp_path):
    code = """
from evc_jax.cli.commands import main
import evc_jax.serving.app, evc_jax.studio.page
sys.exit(main(sys.argv[1:]))
"""
    files = [ASSETS / "demo.wav", "-o", tmp_path / "o.wav", "--bundle", tiny_bundle]
    done = run_without(code, "convert", *files, "--emotion", "happy")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.wav").is_file()


def test_the_studio_says_in_its_train_tab_what_is_missing():
    code = """
from types import SimpleNamespace
import gradio as gr
from evc_jax.studio import train_tab
with gr.Blocks() as page:
    train_tab.build(SimpleNamespace(settings=SimpleNamespace()))
print(next(iter(page.blocks[each].value for each in page.blocks if isinstance(page.blocks[each], gr.Markdown))))
"""
    assert "evc_jax[train]" in run_without(code).stdout


def test_what_trains_says_what_to_install():
    code = """
from evc_jax.cli.commands import main
commands = ["train --list", "prepare folder .", "adapt . -o new", "bundle --base embedded -o new", "evaluate"]
sys.exit(any(main(command.split()) != 2 for command in commands))
"""
    done = run_without(code)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 5
    assert all(line.endswith("run `pip install 'evc_jax[train]'`.") for line in lines), lines
