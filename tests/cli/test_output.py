"""What the command line writes and says: formats, sample rates, what was replaced, and what a mistake may mean."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
from support.tiny_bundles import tone

from evc_jax.audio import io as audio_io
from evc_jax.audio.formats import OUTPUT_FORMATS
from evc_jax.cli.commands import main
from evc_jax.conversion.settings import read_settings


@pytest.fixture
def evc(tiny_bundle, capfd, tmp_path, monkeypatch):
    """Runs a command with the tiny bundle beside `hello.wav`; returns exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVC_VOICES_DIR", str(tmp_path / "voices"))
    soundfile.write("hello.wav", tone(0.6), 16000)

    def run(*words):
        try:
            code = main([*words, "--bundle", str(tiny_bundle)])
        except SystemExit as exit:
            code = exit.code
        return (code, *capfd.readouterr())

    return run


def spectrum(path, rate_hz):
    samples = audio_io.load(path, rate_hz)
    return np.abs(np.fft.rfft(samples[:9000] * np.hanning(9000)))


@pytest.mark.parametrize("suffix", OUTPUT_FORMATS)
def test_every_format_holds_the_sound_and_its_settings(evc, suffix):
    code, printed, _ = evc("convert", "hello.wav", "--emotion", "sad", "-o", f"out{suffix}")
    assert code == 0 and f"out{suffix}: 0.6 s of sound at 16000 Hz, in " in printed
    info = soundfile.info(f"out{suffix}")
    assert (info.samplerate, info.channels) == (16000, 1)
    assert abs(info.duration - 0.6) < 0.02
    assert read_settings(f"out{suffix}")["emotion"] == {"sad": 1.0}


@pytest.mark.parametrize("suffix, rate_hz", [(".wav", 16000), (".mp3", 44100), (".ogg", 22050), (".opus", 48000)])
def test_a_format_keeps_speech(tmp_path, suffix, rate_hz):
    sound = tone(1.0)
    audio_io.save(tmp_path / f"a{suffix}", sound, 16000, output_rate_hz=rate_hz)
    assert soundfile.info(tmp_path / f"a{suffix}").samplerate == rate_hz
    audio_io.save(tmp_path / "exact.wav", sound, 16000)
    expected, found = (spectrum(tmp_path / name, 16000) for name in ("exact.wav", f"a{suffix}"))
    likeness = expected @ found / np.linalg.norm(expected) / np.linalg.norm(found)
    assert likeness > 0.98
    assert 0.9 < np.linalg.norm(found) / np.linalg.norm(expected) < 1.1


def test_an_output_rate_changes_nothing_but_the_rate(evc):
    for rate in ("16000", "44100"):
        assert evc("convert", "hello.wav", "--output-rate", rate, "-o", f"{rate}.wav")[0] == 0
    assert soundfile.info("44100.wav").samplerate == 44100
    there, back = audio_io.load("16000.wav", 16000), audio_io.load("44100.wav", 16000)
    assert abs(len(there) - len(back)) <= 1
    size = min(len(there), len(back)) - 400
    error = there[200:size] - back[200:size]
    assert np.sqrt(np.mean(error**2)) < 0.03 * np.sqrt(np.mean(there**2))


def test_blocks_do_not_change_a_resampled_sound():
    sound = tone(1.0)
    whole = np.concatenate(list(audio_io.resampled([sound], 16000, 44100)))
    parts = np.concatenate(list(audio_io.resampled(np.array_split(sound, 7), 16000, 44100)))
    np.testing.assert_array_equal(whole, parts)
    assert len(whole) == 44100


def test_a_loud_sound_stays_below_full_scale_at_another_rate(tmp_path):
    square = np.sign(np.sin(np.arange(16000) * 2 * np.pi * 150 / 16000)).astype(np.float32)
    audio_io.save(tmp_path / "a.wav", square, 16000, output_rate_hz=44100)  # overshoots when it is resampled
    written = soundfile.read(tmp_path / "a.wav")[0]
    assert np.mean(np.abs(written) > 0.9999) < 0.1  # scaled, not cut


def test_folders_and_pipes_take_a_format(evc, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "hello.wav").rename(tmp_path / "in" / "hello.wav")
    assert evc("convert", "in", "--format", "ogg", "-o", "out")[0] == 0
    assert soundfile.info("out/hello.ogg").subtype == "VORBIS"
    code, printed, errors = evc("transfer", "in/hello.wav", "in/hello.wav", "--format", "flac", "-o", "-")
    assert code == 0 and printed.startswith("fLaC")
    assert errors.startswith("-: 0.6 s of sound at 16000 Hz")


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("-o", "a.opus", "--output-rate", "44100"), "OPUS has no sample rate of 44100 Hz; give 8000, 12000, 16000"),
        (("-o", "a.wav", "--format", "mp3"), "a.wav and --format mp3 contradict each other"),
        (("-o", "a.wav", "--output-rate", "10"), "expected a whole number from 8000 to 192000"),
        (("-o", "a.wav", "--emotion", "SAD"), "There is no emotion 'SAD' (did you mean sad?)"),
        (("-o", "a.wav", "--emotion", "hapy"), "There is no emotion 'hapy' (did you mean happy?)"),
        (("-o", "a.wav", "--voice", "sampled:femal"), "give sampled:female"),
        (("-o", "a.wav", "--voice", "Original"), "(did you mean original?)"),
        (("-o", "a.wav", "--emotoin", "sad"), "unrecognized argument --emotoin (did you mean --emotion?)"),
        (("-o", "a.wav", "--rendering", "Source"), "invalid choice: 'Source' (did you mean source?)"),
    ],
)
def test_a_mistake_is_named_before_anything_is_written(evc, tmp_path, words, sentence):
    code, printed, errors = evc("convert", "hello.wav", *words)
    assert code == 2 and sentence in errors and errors.count("\n") == 1 and not printed
    assert sorted(file.name for file in tmp_path.iterdir()) == ["hello.wav"]


def test_a_misspelt_command(capsys):
    with pytest.raises(SystemExit):
        main(["covert", "a.wav"])
    assert "'covert' (did you mean convert?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option, words, needed",
    [
        ("strength", ("0.5",), "an emotion"),
        ("keep-timing", (), "an emotion"),
        ("emotion-fade", ("1",), "an emotion track"),
    ],
)
def test_an_option_without_effect_is_named(evc, option, words, needed):
    code, _, errors = evc("convert", "hello.wav", f"--{option}", *words, "-o", "out.wav")
    assert code == 0
    assert errors == f"evc convert: --{option} is given without {needed}, and changes nothing.\n"
    if needed == "an emotion":
        assert evc("convert", "hello.wav", "--emotion", "sad", f"--{option}", *words, "-o", "out.wav")[2] == ""


def test_what_is_replaced_is_said(evc):
    said = "in place of what was there"
    for command in (("convert", "hello.wav", "-o", "a.wav"), ("transfer", "hello.wav", "hello.wav", "-o", "b.wav")):
        assert said not in evc(*command)[1]
        assert said in evc(*command)[1]
    voice = ("voices", "--name", "anna", "--from", "hello.wav")
    assert said not in evc(*voice)[1]
    assert said in evc(*voice)[1]


@pytest.mark.parametrize(
    "words",
    [
        ("convert", "hello.wav", "-o", "a.wav"),
        ("transfer", "hello.wav", "hello.wav", "-o", "a.wav"),
        ("voices", "--name", "anna", "--from", "hello.wav"),
    ],
)
def test_quiet(evc, words):
    assert evc(*words, "--quiet") == (0, "", "")
    assert evc(*words[:1], "missing.wav", *words[2:], "-q")[0] == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(capsys, shell):
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "transfer" in script and "surprised" in script and "pitch-shift" in script


def test_bash_completes(tmp_path):
    asked = "source <(python -m evc_jax completion bash); COMP_WORDS=(evc convert --emo); COMP_CWORD=2; "
    command = f"{asked} _shtab_evc evc --emo convert; echo ${{COMPREPLY[@]}}".replace("python", sys.executable)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == {"--emotion", "--emotion-from", "--emotion-track", "--emotion-fade"}
