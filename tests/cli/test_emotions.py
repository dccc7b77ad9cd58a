"""Emotions on the command line: mixtures, tracks, curves, and settings that are saved and replayed."""

import json

import numpy as np
import pytest
import soundfile
from support.tiny_bundles import tone

from evc_jax.cli.commands import main


@pytest.fixture
def evc(tiny_bundle, capsys, tmp_path, monkeypatch):
    """Runs `evc convert in.wav` (2 s) with the tiny bundle; returns exit code and the lines of standard error."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("in.wav", tone(2.0), 16000)

    def run(*arguments):
        try:
            code = main(["convert", "in.wav", *map(str, arguments), "--bundle", str(tiny_bundle)])
        except SystemExit as exit:
            code = exit.code
        return code, capsys.readouterr().err.splitlines()

    return run


def read(name):
    return soundfile.read(name, dtype="int16")[0]


def test_a_mixture_lies_between_its_emotions(evc):
    for name, emotion in (("happy", "happy"), ("sad", "sad"), ("mixed", "happy=1,sad=1"), ("same", "happy=0.3")):
        assert evc("--emotion", emotion, "-o", f"{name}.wav") == (0, [])
    np.testing.assert_array_equal(read("happy.wav"), read("same.wav"))
    assert (read("mixed.wav") != read("happy.wav")).any() and (read("mixed.wav") != read("sad.wav")).any()


def test_a_track_and_a_curve(evc, tmp_path):
    (tmp_path / "labels.txt").write_text("0.0\t1.0\thappy\n1.5\t2.0\tsad=0.5\n")
    assert evc("--emotion-track", "labels.txt", "--emotion-fade", 0.1, "-o", "track.wav") == (0, [])
    assert evc("--emotion", "happy", "--strength", "0:1,2:0", "-o", "curve.wav") == (0, [])
    assert evc("-o", "plain.wav") == (0, [])
    assert (read("track.wav") != read("plain.wav")).any() and (read("track.wav") != read("curve.wav")).any()


def test_saved_settings_are_replayed_from_json_and_from_the_output(evc, tmp_path):
    (tmp_path / "track.csv").write_text("start_s,end_s,emotion,strength\n0,2,happy,0.5\n")
    given = ("--emotion-track", "track.csv", "--rate", 1.25, "--voice", "sampled:male", "--seed", 4)
    assert evc(*given, "--save-settings", "-o", "a.flac") == (0, [])
    (tmp_path / "track.csv").unlink()
    settings = json.loads((tmp_path / "a.settings.json").read_text())
    assert settings["emotion_track"] == [{"start_s": 0.0, "end_s": 2.0, "emotion": {"happy": 1.0}, "strength": 0.5}]
    assert settings["seed"] == 4 and settings["voice"] == "sampled:male"
    for source in ("a.flac", "a.settings.json"):
        assert evc("--settings", source, "-o", "b.wav") == (0, [])
        np.testing.assert_array_equal(read("a.flac"), read("b.wav"))
    assert evc("--settings", "a.flac", "--seed", 5, "-o", "c.wav") == (0, [])
    assert (read("c.wav") != read("b.wav")).any()
    assert evc("--settings", "a.flac", "--emotion", "sad", "--save-settings", "-o", "d.wav") == (0, [])
    replaced = json.loads((tmp_path / "d.settings.json").read_text())
    assert replaced["emotion"] == {"sad": 1.0} and "emotion_track" not in replaced and replaced["rate"] == 1.25


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--emotion", "happy=1,joy=1"], "no emotion 'joy'"),
        (["--emotion", "happy=-1"], "weight of happy is -1"),
        (["--emotion", "happy=0"], "are zero"),
        (["--emotion", "happy", "--emotion-track", "good.csv"], "Both emotion and emotion_track"),
        (["--emotion-track", "late.csv"], "goes on to 9 s, and the recording lasts 2.00 s"),
        (["--emotion-track", "back.csv"], "back.csv: A span of an emotion track goes from 2 s to 1 s"),
        (["--emotion-track", "joy.csv"], "no emotion 'joy'"),
        (["--emotion-track", "missing.csv"], "cannot be read"),
        (["--emotion-from", "missing.wav"], "no recording missing.wav"),
        (["--emotion", "happy", "--strength", "1:0,0:1"], "goes from 1 s to 0 s"),
        (["--emotion", "happy", "--strength", "0:0,1:9"], "strength is 9"),
        (["--emotion", "happy", "--strength", "much"], "expected a number, or TIME:VALUE"),
        (["--emotion", "happy", "--strength", "4"], "strength is 4"),
        (["--settings", "in.wav"], "carries no settings"),
        (["--settings", "odd.json"], "no option 'colour'"),
        (["--settings", "transfer.json"], "transfer.json are those of a transfer"),
        (["--settings", "track.json"], "cannot be read (embedded null byte)"),
        (["--settings", "half.json"], "cannot be read ('utf-8' codec"),
        (["--emotion", '{"happy": ' + "1" * 5000 + "}"], "is no JSON object"),
    ],
)
def test_mistakes_are_one_sentence(evc, tmp_path, arguments, sentence):
    for name, rows in (("good", "0,1,happy"), ("late", "0,9,sad"), ("back", "2,1,sad"), ("joy", "0,1,joy")):
        (tmp_path / f"{name}.csv").write_text(f"start_s,end_s,emotion\n{rows}\n")
    for name, settings in (
        ("odd", {"colour": "red"}),
        ("transfer", {"aspects": "RF"}),
        ("track", {"emotion_track": "a\0b"}),
        ("half", {"emotion_track": "a\ud800"}),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(settings))
    code, errors = evc(*arguments, "-o", "out.wav")
    assert code == 2 and len(errors) == 1 and sentence in errors[0]
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize("flag", ["--save-settings", "--plot"])
def test_settings_and_pictures_have_no_place_beside_standard_output(evc, flag):
    code, errors = evc(flag, "-o", "-")
    assert code == 2 and "standard output has no place" in errors[0]


def test_a_seed_of_json_is_an_integer(evc, tmp_path):
    (tmp_path / "a.json").write_text('{"seed": 4.0, "voice": "sampled:male"}')
    assert evc("--settings", "a.json", "-o", "a.wav") == (0, [])
    assert evc("--seed", 4, "--voice", "sampled:male", "-o", "b.wav") == (0, [])
    np.testing.assert_array_equal(read("a.wav"), read("b.wav"))


def test_settings_of_a_bundle_that_is_not_here(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text('{"bundle": "/away/my_bundle"}')
    assert main(["convert", "in.wav", "--settings", "a.json", "-o", "a.wav"]) == 2
    expected = "evc convert: The settings a.json name the bundle /away/my_bundle, which is not here; give --bundle.\n"
    assert capsys.readouterr().err == expected


def test_settings_are_saved_beside_what_was_converted_only(evc, tmp_path):
    (tmp_path / "out").mkdir()
    soundfile.write("short.wav", tone(0.01), 16000)
    (tmp_path / "out" / "short.wav").touch()  # of an earlier run
    assert evc("short.wav", "--save-settings", "-o", "out")[0] == 2
    assert [file.name for file in tmp_path.glob("out/*.json")] == ["in.settings.json"]
