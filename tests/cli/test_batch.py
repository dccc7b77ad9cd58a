"""Which recording becomes which file."""

import types

import numpy as np
import pytest
import soundfile

from evc_jax.cli import batch
from evc_jax.cli.batch import Job
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import AudioError, ConfigError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("a.wav", "b.mp3", "b.flac", "deep/a.wav", "notes.txt", ".hidden.wav"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def outputs(inputs, output):
    return [(str(job.source), str(job.output)) for job in batch.plan_outputs(inputs, output)]


def test_one_recording_to_one_file(folder):
    assert outputs(["in/a.wav"], "x.flac") == [("in/a.wav", "x.flac")]


def test_one_recording_to_a_folder(folder):
    assert outputs(["in/b.mp3"], "out") == [("in/b.mp3", "out/b.wav")]
    (folder / "out.wav").mkdir()
    assert outputs(["in/b.mp3"], "out.wav") == [("in/b.mp3", "out.wav/b.wav")]


def test_a_folder_keeps_its_structure_and_no_output_is_taken_twice(folder):
    assert outputs(["in", "in/deep/a.wav"], "out") == [
        ("in/a.wav", "out/a.wav"),
        ("in/b.flac", "out/b.wav"),
        ("in/b.mp3", "out/b-2.wav"),
        ("in/deep/a.wav", "out/deep/a.wav"),
        ("in/deep/a.wav", "out/a-2.wav"),
    ]


def test_earlier_outputs_inside_the_input_folder_are_no_inputs(folder):
    (folder / "in/out").mkdir()
    (folder / "in/out/a.wav").touch()
    assert ("in/out/a.wav", "in/out/out/a.wav") not in outputs(["in"], "in/out")
    assert len(outputs(["in"], "in/out")) == 4


def test_what_is_passed_over_is_counted_and_named(folder):
    for name in ("c.aax", "deep/d.m4p"):
        (folder / "in" / name).touch()
    lines = []
    assert len(batch.plan_outputs(["in"], "out", log=lines.append)) == 4
    assert lines == ["in: passed over: 2 (format that is not read: c.aax, deep/d.m4p)"]


def test_a_missing_recording_is_left_to_the_conversion(folder):
    assert outputs(["nowhere.wav"], "out") == [("nowhere.wav", "out/nowhere.wav")]


@pytest.mark.parametrize(
    "inputs, output, message",
    [
        (["in/a.wav"], "in/a.wav", "would overwrite a recording"),
        (["in"], "in", "would overwrite a recording"),
        (["in/a.wav", "in/b.mp3"], "x.wav", "cannot become the one file"),
        (["in"], "x.wav", "cannot become the one file"),
        (["in/a.wav"], "x.m4b", "x.m4b cannot be written; name the output .wav, .flac, .mp3, .ogg or .opus"),
        (["in/a.wav"], "x.m4a", "x.m4a cannot be written; name the output .wav, .flac, .mp3, .ogg or .opus"),
        (["in/a.wav"], "x.WMA", "x.WMA cannot be written; name the output .wav, .flac, .mp3, .ogg or .opus"),
        (["in"], "x.webm", "cannot become the one file x.webm"),
        (["in/a.wav"], "no/such/x.wav", "does not exist; make it"),
        (["in/a.wav"], "no/such/folder", "does not exist; make it"),
        (["in/a.wav"], "in/notes.txt", "is a file, neither a folder nor"),
    ],
)
def test_impossible_outputs(folder, inputs, output, message):
    with pytest.raises(ConfigError, match=message):
        batch.plan_outputs(inputs, output)


def test_a_folder_without_recordings(folder):
    (folder / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no recordings"):
        batch.plan_outputs(["empty"], "out")


def test_the_voice_is_not_overwritten(folder):
    with pytest.raises(ConfigError, match="would overwrite"):
        batch.plan_outputs(["in/a.wav"], "in/b.flac", ["in/b.flac"])
    with pytest.raises(ConfigError, match="would overwrite"):
        batch.plan_outputs(["in/b.flac"], "in/deep/a.wav", ["in/deep"])
    assert batch.plan_outputs(["in/a.wav"], "in/deep/new.wav", ["in/deep"])


def test_one_road_for_every_recording(tmp_path, monkeypatch):
    from evc_jax.conversion import long_recordings

    taken = []

    def convert_file(converter, source, output, options, progress, comment, output_rate_hz):
        taken.append((converter, source.name, output.name, progress))
        if source.name == "absent.wav":
            raise AudioError("there is no such recording.")
        return 1.5

    monkeypatch.setattr(long_recordings, "convert_file", convert_file)
    names = ("short.wav", "absent.wav", "long.wav")
    planned = [Job(tmp_path / name, tmp_path / f"out-{name}") for name in names]
    converter = types.SimpleNamespace(sample_rate_hz=16000)
    short, absent, long = batch.run(planned, converter, ConversionOptions(), progress=True)
    assert taken == [(converter, name, f"out-{name}", True) for name in names]
    assert (short.duration_s, long.duration_s) == (1.5, 1.5) and short.error is None
    assert absent.error == f"{tmp_path / 'absent.wav'}: there is no such recording."


def test_a_conversion_can_be_drawn(tmp_path, monkeypatch):
    from evc_jax.conversion import long_recordings

    conversion, drawn = types.SimpleNamespace(audio=np.zeros(24000, np.float32)), []
    monkeypatch.setattr(long_recordings, "convert_recording", lambda converter, source, options: conversion)
    converter, job = types.SimpleNamespace(sample_rate_hz=16000), Job(tmp_path / "in.wav", tmp_path / "out.wav")
    (result,) = batch.run([job], converter, ConversionOptions(), after=lambda *arguments: drawn.append(arguments))
    assert drawn == [(job, conversion)] and result.duration_s == 1.5
    assert soundfile.info(tmp_path / "out.wav").frames == 24000


def test_a_folder_of_outputs_only(folder):
    (folder / "only" / "out").mkdir(parents=True)
    (folder / "only/out/a.wav").touch()
    with pytest.raises(ConfigError, match="only outputs of earlier runs"):
        batch.plan_outputs(["only"], "only/out")
