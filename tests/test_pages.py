"""What the README and the pages of docs/ tell a reader to type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import soundfile

from evc_jax.cli.parser import build_parser
from evc_jax.pretrained.bundle import embedded_path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    """The page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def evc_commands(page: Path) -> list[list[str]]:
    """The words after `evc` of each command that a page's shell blocks start a line with."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    # As in a shell, # begins a comment only after a blank.
    commands = [shlex.split(re.sub(r"\s#.*", "", line)) for line in lines if re.match(r"\s*evc ", line)]
    return [
        words[1 : next((i for i, word in enumerate(words) if word in ("|", "&&", "&", ">")), None)]
        for words in commands
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if evc_commands(page)], ids=lambda page: page.name)
def test_commands_have_the_options_that_they_are_shown_with(page, capsys):
    for words in evc_commands(page):
        try:
            arguments, rest = build_parser().parse_known_args(words)
            assert not rest or arguments.command == "train", (page.name, words)  # whose keys are the config's
        except SystemExit as stopped:
            assert stopped.code == 0, f"{page.name}: evc {shlex.join(words)}: {capsys.readouterr().err}"


def test_the_pages_show_many_commands():
    assert sum(len(evc_commands(page)) for page in PAGES) >= 30


def test_the_first_conversion_in_python_runs(tmp_path, monkeypatch, tiny_bundle):
    (tmp_path / "hello.wav").write_bytes((embedded_path().parent / "demo.wav").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("evc_jax.pretrained.bundle.embedded_path", lambda: tiny_bundle)
    names: dict = {}
    for block in blocks(ROOT / "docs" / "first_conversion.md", "python"):
        # The small bundle of the tests knows no anger.
        exec(compile(block.replace("angry", "sad"), "first_conversion.md", "exec"), names)
    with soundfile.SoundFile(tmp_path / "sad_stranger.wav") as sound:
        assert sound.frames == len(names["result"].audio) > sound.samplerate
        assert sound.comment.startswith("synthetic speech, evc_jax")
