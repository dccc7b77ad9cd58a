"""Recordings through pipes, and names that a terminal cannot show."""

import io
import os
import sys
import threading

import numpy as np
import pytest
import soundfile
from support.containers import as_container
from support.tiny_bundles import tone
from support.uploads import as_bytes

from evc_jax.cli.commands import main


@pytest.fixture
def evc(tiny_bundle, tmp_path, monkeypatch):
    """Runs `evc convert` in a folder of its own, with bytes as standard input; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, given=b"", encoding="utf-8"):
        sent, errors = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        monkeypatch.setattr(sys, "stdout", sent)
        monkeypatch.setattr(sys, "stderr", errors)
        code = main(["convert", *map(str, arguments), "--bundle", str(tiny_bundle)])
        sent.flush(), errors.flush()
        return code, sent.buffer.getvalue(), errors.buffer.getvalue().decode(encoding)

    return run


def test_a_recording_goes_through_pipes(evc, tmp_path):
    recording = as_bytes(tone(0.6))
    (tmp_path / "in.wav").write_bytes(recording)
    assert evc("in.wav", "-o", "out.wav")[0] == 0
    code, sent, errors = evc("-", "-o", "-", given=recording)
    assert code == 0 and "s of sound" in errors
    assert sent == (tmp_path / "out.wav").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.wav", "out.wav"]


def test_a_phone_s_recording_goes_through_a_pipe(evc):
    pytest.importorskip("av")
    code, sent, _ = evc("-", "-o", "-", given=as_container(tone(1.0), 16000, "ipod", "aac"))
    assert code == 0 and soundfile.info(io.BytesIO(sent)).frames == 16000


def test_a_named_pipe_is_read(evc, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(as_bytes(tone(0.6)),))
    writer.start()
    assert evc("pipe", "-o", "out.flac")[0] == 0
    writer.join()
    assert soundfile.info(tmp_path / "out.flac").frames == 9600


@pytest.mark.parametrize(
    "inputs, sentence", [(["-"], "Nothing came through standard input"), (["-", "-"], "read only once")]
)
def test_a_pipe_without_a_recording_is_one_sentence(evc, inputs, sentence):
    code, sent, errors = evc(*inputs, "-o", "out")
    assert code == 2 and sent == b"" and sentence in errors and errors.count("\n") == 1


def test_names_that_are_no_text_do_not_stop_a_batch(evc, tmp_path):
    folder = tmp_path / "names"
    folder.mkdir()
    names = ["a.wav", os.fsdecode(b"Stra\xdfe.wav"), "z.wav", "日本.wav"]
    for name in names:
        (folder / name).write_bytes(as_bytes(tone(0.5)))
    code, sent, _ = evc("names", "-o", os.fsdecode(b"aus\xdf"), encoding="latin-1")
    assert code == 0 and sent.count(b"s of sound") == 4
    assert sorted(os.listdir(os.fsencode(tmp_path) + b"/aus\xdf")) == sorted(map(os.fsencode, names))
    converted = (tmp_path / os.fsdecode(b"aus\xdf") / names[1]).read_bytes()
    assert np.isfinite(soundfile.read(io.BytesIO(converted))[0]).all()
