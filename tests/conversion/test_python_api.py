"""The package as a library: what it shows, what it says of itself, files, notebooks, and arguments of wrong types."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.tiny_bundles import tiny_converter, tone

import evc_jax
from evc_jax.cli.commands import main
from evc_jax.conversion.settings import read_settings
from evc_jax.errors import EvcError

SOUND = tone(0.6)


@pytest.fixture(scope="module")
def converter():
    return tiny_converter()


def test_the_package_shows_what_it_offers():
    for name in ("Converter", "ConversionOptions", "Conversion", "Bundle", "load_bundle", "EvcError", "__version__"):
        assert name in dir(evc_jax) and name in evc_jax.__all__
        assert getattr(evc_jax, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Konverter'"):
        evc_jax.Konverter  # noqa: B018
    assert (Path(evc_jax.__file__).parent / "py.typed").is_file()


def test_looking_at_the_package_does_not_import_jax():
    program = "import evc_jax, sys; dir(evc_jax); evc_jax.EvcError; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n"


def test_what_objects_say_of_themselves(tiny_bundle, converter):
    assert re.fullmatch(r"Converter\(bundle='.+', emotions=\('neutral', .+\), sample_rate_hz=16000\)", repr(converter))
    assert repr(evc_jax.Converter.load()).startswith(
        "Converter(bundle='embedded', emotions=('neutral', 'calm', 'happy'"
    )
    made = converter.convert(SOUND, 16000, emotion="sad", rate=1.2)
    assert (
        repr(made)
        == f"Conversion({0.6 / 1.2:.2f} s at 16000 Hz, bundle={str(converter.bundle.path)!r}"[:60] + (repr(made)[60:])
    )
    assert "emotion={'sad': 1.0}" in repr(made) and "rate=1.2" in repr(made)
    assert repr(converter.transfer(SOUND, 16000, SOUND, 16000, "F")).startswith("Transfer(0.60 s at 16000 Hz")
    assert len(repr(evc_jax.load_bundle(tiny_bundle))) < 500


def test_files_are_those_of_the_command_line(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("in.wav", tone(0.8, 44100), 44100)
    words = ["--emotion", "sad", "--strength", "0:0,0.5:1", "--pitch-shift", "2"]
    words += ["--output-rate", "22050", "--bundle", str(tiny_bundle)]
    assert main(["convert", "in.wav", *words, "-o", "cli.wav"]) == 0
    asked = {"emotion": "sad", "strength": [(0, 0), (0.5, 1)], "pitch_shift": 2}
    converter = evc_jax.Converter.load(tiny_bundle)
    assert converter.convert_file("in.wav", "api.wav", output_rate_hz=22050, **asked) == Path("api.wav")
    samples, rate_hz = soundfile.read("in.wav", dtype="float32")
    assert converter.convert(samples, rate_hz, **asked).save("saved.wav", 22050) == Path("saved.wav")
    assert Path("cli.wav").read_bytes() == Path("api.wav").read_bytes() == Path("saved.wav").read_bytes()
    assert read_settings("api.wav")["strength"] == [[0, 0], [0.5, 1]]


def test_features_that_are_converted_carry_the_statement_only(converter, tmp_path):
    features = converter.extract(SOUND, 16000)
    converter.convert_features(features, evc_jax.ConversionOptions()).save(tmp_path / "a.flac")
    assert soundfile.SoundFile(tmp_path / "a.flac").comment == f"synthetic speech, evc_jax {evc_jax.__version__}"


def uris(page):
    return {kind: base64.b64decode(data) for kind, data in re.findall(r'src="data:([\w/]+);base64,([^"]+)"', page)}


def test_a_notebook_shows_player_and_picture(converter):
    for made in (
        converter.convert(SOUND, 16000, emotion={"sad": 1, "happy": 1}),
        converter.transfer(SOUND, 16000, SOUND, 16000, "R"),
    ):
        found = uris(made._repr_html_())
        sound, rate_hz = soundfile.read(io.BytesIO(found["audio/wav"]))
        assert rate_hz == 16000 and np.abs(sound - made.audio / max(1, np.abs(made.audio).max())).max() < 1e-4
        assert found["image/png"].startswith(b"\x89PNG")


def test_a_notebook_gets_the_beginning_of_a_long_sound(converter, monkeypatch):
    monkeypatch.setattr("evc_jax.conversion.result.LONGEST_SHOWN_S", 0.25)
    page = converter.convert(SOUND, 16000)._repr_html_()
    assert "of which the first 0.25 s are here" in page
    assert len(soundfile.read(io.BytesIO(uris(page)["audio/wav"]))[0]) == 4000 and "image/png" not in uris(page)


def test_playing_needs_a_notebook(converter):
    with pytest.raises(EvcError, match="in a notebook only; write it with save"):
        converter.convert(SOUND, 16000).play()


@pytest.mark.parametrize("kind, full_scale", [(np.int16, 2**15), (np.int32, 2**31)])
def test_integers_have_the_full_scale_of_their_type(converter, kind, full_scale):
    whole = np.round(SOUND * full_scale).astype(kind)
    expected = converter.convert(whole / full_scale, 16000).audio
    np.testing.assert_array_equal(converter.convert(whole, 16000).audio, expected)


@pytest.fixture(scope="module")
def answers():
    """What `support.wrong_types` prints: a process of its own, in which annotations are not checked, as with users."""
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])}
    command = [sys.executable, "-m", "support.wrong_types"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_arrays_of_other_kinds_give_the_same(answers):
    assert answers.pop("same") == {"jax array": True, "list": True, "column": True, "float64": True, "float rate": True}


def test_arguments_of_wrong_types_are_one_sentence(answers):
    cases = {name: answer for name, answer in answers.items() if name != "same"}
    assert len(cases) > 45
    for name, (is_ours, message) in cases.items():
        assert is_ours, (name, message)
        assert message.endswith(".") and "\n" not in message and len(message) < 400, (name, message)


@pytest.mark.parametrize(
    "case, sentence",
    [
        ("audio str", "the audio is a str, expected an array of samples; convert_file takes the name of a file."),
        ("audio rows of two lengths", "the audio is no array of samples"),
        ("audio int64", "int64, of which full scale is unknown; give int16, int32 or float."),
        (
            "audio channels first",
            "shape (2, 9600), channels first; give [samples, channels], as audio.T is.",
        ),
        ("rate str", "the sample rate is '16000'; expected a positive number of samples a second."),
        ("bundle int", "give the folder of one"),
        ("opus rate", "OPUS has no sample rate of 44100 Hz"),
    ],
)
def test_sentences(answers, case, sentence):
    assert sentence in answers[case][1]
