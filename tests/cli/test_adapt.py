"""The arguments of `evc adapt`, its exit codes, and using the voice that it made."""

import dataclasses
import signal

import pytest
import soundfile
from support.own_voice import RATE_HZ, speech

from evc_jax.cli.commands import main
from evc_jax.pretrained import bundle as bundles
from evc_jax.training import adaptation
from evc_jax.training.adaptation import Adaptation
from evc_jax.training.held_out_figures import Figure

RESULT = Adaptation(
    "me",
    3,
    120.0,
    20,
    4,
    50,
    33.0,
    (Figure("voice", "cosine", 0.5, 0.6), Figure("voice", "other", *[float("nan")] * 2)),
    ("voice",),
)


@pytest.fixture
def evc(tmp_path, monkeypatch, capsys):
    """Runs `evc`; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("EVC_VOICES_DIR", str(tmp_path / "voices"))

    def run(*arguments):
        code = main(list(map(str, arguments)))
        return code, *capsys.readouterr()

    return run


def test_the_voice_has_the_name_of_the_folder(evc, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(adaptation, "adapt", lambda *a, **options: asked.append((a, options)) or RESULT)
    (tmp_path / "anna").mkdir()
    code, out, _ = evc("adapt", "anna", "-o", "mine")
    assert code == 0 and asked[0][1]["name"] == "anna" and asked[0][1]["minutes"] == 10
    assert (
        "mine: better are voice; use it with --bundle mine --voice anna" in out and "0.600" in out and "nan" not in out
    )
    evc("adapt", "anna", "-o", "mine", "--name", "ann", "--minutes", "3")
    assert asked[1][1]["name"] == "ann" and asked[1][1]["minutes"] == 3


@pytest.mark.parametrize(
    ("better", "use"),
    [(("voice", "decoder"), "--bundle 'a b' --voice anna\n"), (("decoder",), "--bundle 'a b' --rendering decoder\n")],
)
def test_the_last_line_names_options_that_work(evc, monkeypatch, better, use):
    monkeypatch.setattr(adaptation, "adapt", lambda *_, **__: dataclasses.replace(RESULT, better=better))
    assert evc("adapt", "anna", "-o", "a b")[1].endswith(f"use it with {use}")


def test_a_signal_interrupts_like_ctrl_c(evc, monkeypatch):
    monkeypatch.setattr(adaptation, "adapt", lambda *_, **__: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert evc("adapt", "anna", "-o", "mine") == (130, "", "evc adapt: interrupted.\n")
    assert signal.getsignal(signal.SIGTERM) == before


def test_nothing_better_is_exit_code_1(evc, monkeypatch):
    monkeypatch.setattr(adaptation, "adapt", lambda *_, **__: dataclasses.replace(RESULT, better=()))
    code, out, _ = evc("adapt", "anna", "-o", "mine")
    assert code == 1 and "Nothing became better on the held-out speech: nothing was written." in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["short.wav", "-o", "mine"], "There is too little speech, 2 s (recordings: 1, with speech: 1)"),
        (["short.wav", "-o", "short.wav/mine"], "short.wav"),
        (["a b.wav", "-o", "mine"], "'a b' is no name for a voice; give --name."),
        (["short.wav", "-o", "mine", "--name", "original"], "A voice cannot be named 'original'"),
        (["short.wav", "-o", "there"], "there exists and is not a bundle"),
        (["short.wav", "-o", "bundle", "--bundle", "other"], "bundle is a bundle already"),
        (["nowhere.wav", "-o", "mine"], "nowhere.wav"),
    ],
)
def test_a_mistake_is_one_sentence(evc, tmp_path, arguments, words):
    soundfile.write(tmp_path / "short.wav", speech()[: 2 * RATE_HZ], RATE_HZ)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.txt").write_text("years of work")
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text("{}")
    code, _, error = evc("adapt", *arguments)
    assert code == 2 and words in error and "Traceback" not in error
    assert not (tmp_path / "mine").exists() and not list(tmp_path.glob(".mine*"))


def test_the_voice_of_a_bundle_is_known_by_name(evc, tmp_path, tiny_bundle):
    bundle = bundles.load_bundle(tiny_bundle)
    voices = {"me": {"embedding": [1.0] * 256}}
    params = {name: bundle.network(name).params for name in bundle.description["networks"]}
    mine = bundles.save_bundle(tmp_path / "mine", {**bundle.description, "voices": voices}, params)
    soundfile.write(tmp_path / "short.wav", speech()[:RATE_HZ], RATE_HZ)
    code, _, error = evc("convert", "short.wav", "--voice", "me", "--bundle", mine, "-o", "out.wav")
    assert code == 0, error
    assert evc("similarity", "me", "me", "--bundle", mine)[1].startswith("1.000")
    assert evc("voices", "--list", "--bundle", mine) == (0, f"me\t{mine}\n", "")
    # The folder that a bundle was adapted to has the voice's name, and is no other voice.
    (tmp_path / "me").mkdir()
    assert evc("convert", "short.wav", "--voice", "me", "--bundle", mine, "-o", "again.wav")[0] == 0
    assert (tmp_path / "again.wav").read_bytes() == (tmp_path / "out.wav").read_bytes()
    (tmp_path / "me").rmdir()
    assert evc("convert", "short.wav", "--voice", "me", "--bundle", tiny_bundle, "-o", "out.wav")[0] == 2
