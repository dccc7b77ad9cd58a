"""`evc sweep`: a page that is complete and self-contained, and one sentence for each mistake."""

import json
import re
import shlex
from html import unescape
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from support.tiny_bundles import tone

from evc_jax.cli.commands import main
from evc_jax.cli.parser import build_parser
from evc_jax.cli.sweep import LEFT_OUT
from evc_jax.conversion.options import OPTIONS

NAME = "a & $b$ #1"


@pytest.fixture(scope="module")
def folder(tiny_bundle, tmp_path_factory):
    """Where a recording lies and was swept."""
    folder = tmp_path_factory.mktemp("sweep")
    soundfile.write(folder / f"{NAME}.wav", tone(0.6), 16000)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EVC_CACHE_DIR", str(folder / "cache"))
        arguments = "--emotions", "sad,happy", "--strengths", "1.5, 0.5", "--pitch-shift", "2"
        assert main(["sweep", f"{NAME}.wav", *arguments, "--bundle", str(tiny_bundle)]) == 0
    return folder


@pytest.fixture
def evc(folder, tiny_bundle, monkeypatch, capsys):
    """Runs a command; returns its exit code and the lines of standard error."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("EVC_CACHE_DIR", str(folder / "cache"))

    def run(command, *arguments):
        code = main([command, *map(str, arguments), "--bundle", str(tiny_bundle)])
        return code, capsys.readouterr().err.splitlines()

    return run


def test_the_page_has_every_emotion_at_every_strength(folder):
    page = folder / f"{NAME}_sweep" / "index.html"
    text = page.read_text(encoding="utf-8")
    names = {"source", *(f"{emotion}_{strength}" for emotion in ("happy", "sad") for strength in ("0.5", "1.5"))}
    for suffix in ("flac", "png"):
        assert {file.name for file in page.parent.glob(f"*.{suffix}")} == {f"{name}.{suffix}" for name in names}
    links = [unquote(unescape(link)) for link in re.findall(r'(?:src|href)="([^"#]+)"', text)]
    assert len(links) == 4 * len(names) and all((page.parent / link).is_file() for link in links)
    assert re.findall("<h2>(.*?)</h2>", text) == ["The recording", "Sad", "Happy"]
    assert "http" not in text and "<script" not in text and "prefers-color-scheme" in text
    assert "a &amp; $b$ #1.wav" in text and "a & $b$" not in text


def test_the_figures_are_those_of_the_files(folder):
    made = folder / f"{NAME}_sweep"
    figures = json.loads((made / "sweep.json").read_text())
    assert figures["files"] == sorted(file.name for file in made.iterdir())
    places = [(each.get("emotion"), each.get("strength")) for each in figures["conversions"]]
    assert places == [(None, None), ("sad", 0.5), ("sad", 1.5), ("happy", 0.5), ("happy", 1.5)]
    for each in figures["conversions"]:
        assert soundfile.info(made / each["sound"]).duration == pytest.approx(each["duration_s"], abs=1e-3)


def test_the_commands_on_the_page_make_the_same_sound(folder, evc):
    text = (folder / f"{NAME}_sweep" / "index.html").read_text(encoding="utf-8")
    commands = [shlex.split(unescape(code)) for code in re.findall("<code>(.*?)</code>", text)]
    assert len(commands) == 4
    program, command, *arguments = commands[1]
    assert (program, command) == ("evc", "convert") and main([command, *arguments]) == 0
    output = arguments[-1]
    swept = soundfile.read(folder / f"{NAME}_sweep" / output.replace(".wav", ".flac"), dtype="int16")[0]
    np.testing.assert_array_equal(soundfile.read(folder / output, dtype="int16")[0], swept)


def test_an_earlier_sweep_is_replaced_and_anything_else_is_not(folder, evc):
    recording, made = f"{NAME}.wav", folder / "again"
    assert evc("sweep", recording, "--emotions", "happy", "--strengths", "1,2", "-o", "again")[0] == 0
    assert evc("sweep", recording, "--emotions", "sad", "--strengths", "1", "-o", "again")[0] == 0
    names = {"index.html", "sweep.json", "source.flac", "source.png", "sad_1.flac", "sad_1.png"}
    assert {file.name for file in made.iterdir()} == names
    # The source of a sweep is not lost to that sweep.
    code, errors = evc("sweep", "again/source.flac", "-o", "again")
    assert code == 2 and errors == [
        "evc sweep: again/source.flac lies in the folder again, which is replaced; give another -o."
    ]
    (made / "notes.txt").write_text("mine")
    code, errors = evc("sweep", recording, "-o", "again")
    assert code == 2 and errors == [
        "evc sweep: The folder again holds notes.txt, which no sweep wrote; give another -o."
    ]
    assert {file.name for file in made.iterdir()} == names | {"notes.txt"}


def test_a_sweep_that_fails_leaves_the_earlier_one(folder, evc, monkeypatch):
    made = folder / f"{NAME}_sweep"
    before = {file.name: file.read_bytes() for file in made.iterdir()}

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr("evc_jax.audio.plotting.draw_small_panel", fail)
    code, errors = evc("sweep", f"{NAME}.wav")
    assert code == 2 and errors == ["evc sweep: no space left."]
    assert {file.name: file.read_bytes() for file in made.iterdir()} == before
    assert not [file for file in folder.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--emotions", "happy,hungry"], "There is no emotion 'hungry'; choose one of neutral, happy, sad."),
        (["--emotions", ","], "There is no emotion to sweep; give --emotions with some of neutral, happy, sad."),
        (["--strengths", "much"], "The strengths are 'much'; give numbers joined by commas, as 0.5,1,1.5."),
        (["--strengths", "1,4"], "The strength is 4; give a number from 0 to 3."),
        (["--strengths", "nan"], "The strength is nan; give a number from 0 to 3."),
        (["-o", f"{NAME}.wav"], f"{NAME}.wav is a file; give another -o."),
        (["-o", "no/where"], "The folder {folder}/no does not exist; make it, or give another -o."),
    ],
)
def test_a_mistake_is_one_sentence(arguments, words, evc, folder):
    code, errors = evc("sweep", f"{NAME}.wav", *arguments)
    assert code == 2 and errors == [f"evc sweep: {words.replace('{folder}', str(folder))}"]


def test_a_recording_is_short(evc, folder):
    soundfile.write(folder / "long.wav", np.zeros(31 * 8000), 8000)
    code, errors = evc("sweep", "long.wav")
    assert code == 2 and errors == ["evc sweep: long.wav: the recording lasts longer than 30 s; cut out a part of it."]
    assert not (folder / "long_sweep").exists()


def test_a_sweep_takes_the_options_of_a_conversion():
    sweep, convert = (vars(build_parser().parse_args([name, "a.wav", "-o", "x"])) for name in ("sweep", "convert"))
    assert {"emotions", "strengths"} == set(sweep) - set(convert) - {"recording"}
    arguments = [f"--{option.name.replace('_', '-')}" for option in OPTIONS if option.name not in LEFT_OUT]
    texts = build_parser()._subparsers._group_actions[0].choices["sweep"].format_help()
    assert all(argument in texts for argument in [*arguments, "--voice", "--voices-dir", "--bundle"])
