"""Which recording becomes which file."""

import types

import numpy as np
import pytest
import soundfile

from evc_jax.cli import batch
from evc_jax.cli.batch import Job
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import ConfigError


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


def test_a_missing_recording_is_left_to_the_conversion(folder):
    assert outputs(["nowhere.wav"], "out") == [("nowhere.wav", "out/nowhere.wav")]


@pytest.mark.parametrize(
    "inputs, output, message",
    [
        (["in/a.wav"], "in/a.wav", "would overwrite a recording"),
        (["in"], "in", "would overwrite a recording"),
        (["in/a.wav", "in/b.mp3"], "x.wav", "cannot become the one file"),
        (["in"], "x.wav", "cannot become the one file"),
        (["in/a.wav"], "x.mp3", "name the output .wav or .flac"),
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


class Scripted:
    """A converter that only says which way a recording went."""

    sample_rate_hz = 16000

    def __init__(self):
        self.went = []

    def extract(self, samples, rate_hz):
        self.went.append("whole")
        return samples

    def convert_features(self, features, options):
        return types.SimpleNamespace(audio=features)


def test_long_recordings_are_streamed_unless_somebody_wants_to_see_them(tmp_path, monkeypatch):
    from evc_jax.conversion import streaming

    converter = Scripted()
    monkeypatch.setattr(batch, "STREAMED_S", 1.0)
    monkeypatch.setattr(streaming, "convert_file", lambda *arguments: converter.went.append("streamed") or 1.5)
    for name, seconds in (("short.wav", 0.9), ("long.wav", 1.5)):
        soundfile.write(tmp_path / name, np.zeros(round(seconds * 16000)), 16000)
    planned = [Job(tmp_path / name, tmp_path / f"out-{name}") for name in ("short.wav", "long.wav", "absent.wav")]
    short, long, absent = batch.run(planned, converter, ConversionOptions())
    assert converter.went == ["whole", "streamed"]
    assert (short.duration_s, long.duration_s) == (0.9, 1.5) and "does not exist" in absent.error
    list(batch.run(planned[1:2], converter, ConversionOptions(), after=lambda job, result: None))
    assert converter.went == ["whole", "streamed", "whole"]


def test_a_folder_of_outputs_only(folder):
    (folder / "only" / "out").mkdir(parents=True)
    (folder / "only/out/a.wav").touch()
    with pytest.raises(ConfigError, match="only outputs of earlier runs"):
        batch.plan_outputs(["only"], "only/out")
