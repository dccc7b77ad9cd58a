"""`evc emotion` on speech, on what is no speech, and on a bundle without a classifier."""

import json

import numpy as np
import pytest
import soundfile
from support.tiny_bundles import tone

from evc_jax.cli.commands import main
from evc_jax.files import ASSETS
from evc_jax.pretrained.bundle import embedded_path, load_bundle

RATE_HZ = 16000
pytestmark = pytest.mark.skipif(not embedded_path().is_dir(), reason="the package has no bundle")


@pytest.fixture
def evc(capsys, tmp_path, monkeypatch):
    """Runs `evc emotion`; returns exit code, standard output and the lines of standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVC_CACHE_DIR", str(tmp_path / "cache"))

    def run(*arguments):
        code = main(["emotion", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err.splitlines()

    return run


def messy(folder):
    """What is no speech, by the words of its sentence."""
    random, times_s = np.random.default_rng(0), np.arange(2 * RATE_HZ) / RATE_HZ
    speech, rate_hz = soundfile.read(ASSETS / "demo.wav")
    notes = np.repeat([131, 147, 165, 175, 196, 220, 247, 262], RATE_HZ // 4)[: 2 * RATE_HZ]
    phase = 2 * np.pi * np.cumsum(notes) / RATE_HZ
    tune = sum(np.sin(k * phase) / k for k in range(1, 8)) * np.exp(-4 * (times_s % 0.25) / 0.25)
    sounds = {
        "noise": ("voiced speech", 0.1 * random.standard_normal(2 * RATE_HZ)),
        "hum": ("speech", sum(np.sin(2 * np.pi * 100 * k * times_s) / k for k in range(1, 9)) / 10),
        "tune": ("unlike speech", 0.1 * tune),
        "short": ("voiced speech", speech[rate_hz // 2 :][: rate_hz // 5]),
        "silence": ("silent", np.zeros(RATE_HZ)),
    }
    folder.mkdir()
    for name, (_, samples) in sounds.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE_HZ)
    (folder / "text.wav").write_text("I am not a recording.\n")
    return {name: words for name, (words, _) in sounds.items()} | {"text": "cannot be read as audio"}


def test_a_recording_is_one_line_of_a_table(evc):
    code, out, errors = evc(ASSETS / "demo.wav")
    heading, line = out.splitlines()
    assert (code, errors) == (0, []) and line.endswith("demo.wav")
    assert heading.split() == ["emotion", "confidence", "next", "best", "strength", "file"]
    assert line.split()[0] in (*load_bundle().emotions, "uncertain")
    assert 0 < float(line.split()[1]) <= 1


def test_what_has_no_emotion_is_named_and_the_others_go_on(evc, tmp_path):
    sentences = messy(tmp_path / "messy")
    code, out, errors = evc("messy", ASSETS / "demo.wav", "--json")
    assert code == 2 and [row["file"] for row in json.loads(out)] == [str(ASSETS / "demo.wav")]
    assert len(errors) == len(sentences)
    for (name, words), line in zip(sorted(sentences.items()), errors, strict=True):
        assert line.startswith(f"evc emotion: messy/{name}.wav") and words in line


def test_neutral_recordings_of_the_speaker(evc, tmp_path):
    (alone,), (beside,) = (
        json.loads(evc(ASSETS / "demo.wav", "--json", *more)[1]) for more in ([], ["--neutral", ASSETS / "demo.wav"])
    )
    assert beside["probabilities"]["neutral"] > alone["probabilities"]["neutral"]
    assert sum(alone["probabilities"].values()) == pytest.approx(1, abs=0.01)
    soundfile.write(tmp_path / "tone.wav", np.sin(np.arange(RATE_HZ) / 10), RATE_HZ)
    code, out, errors = evc(ASSETS / "demo.wav", "--neutral", "tone.wav")
    assert (code, out, len(errors)) == (2, "", 1) and "tone.wav: it holds a steady tone" in errors[0]


def test_a_bundle_that_cannot_tell(evc, tiny_bundle, tmp_path):
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", tone(0.6), RATE_HZ)
    code, out, errors = evc("a.wav", "b.wav", "--bundle", tiny_bundle)
    assert (code, out, len(errors)) == (2, "", 1) and "has no classifier of emotions" in errors[0]
