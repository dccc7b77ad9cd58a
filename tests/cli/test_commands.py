"""The command line on the recordings that people really have, and on the mistakes that they really make."""

import gc
import json
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
import soundfile
from support.containers import as_container
from support.tiny_bundles import tone

from evc_jax.cli.commands import main

FRAME_S = 256 / 16000


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVC_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("EVC_VOICES_DIR", str(tmp_path_factory.mktemp("voices")))
        yield


@pytest.fixture
def evc(tiny_bundle, capsys, tmp_path, monkeypatch):
    """Runs `evc convert` with the tiny bundle; returns exit code, standard output and the lines of standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, command="convert"):
        try:
            code = main([command, *map(str, arguments), "--bundle", str(tiny_bundle)])
        except SystemExit as exit:
            code = exit.code
        printed = capsys.readouterr()
        return code, printed.out, printed.err.splitlines()

    return run


def write(path, seconds=0.6, rate_hz=16000, channels=1, level=0.1, **options):
    samples = np.stack([tone(seconds, rate_hz, level=level)] * channels, axis=-1)
    soundfile.write(path, samples, rate_hz, **options)
    return seconds


def samples(path):
    """Of a converted file, whose metadata name what was asked for."""
    return soundfile.read(path, dtype="int16")[0].tolist()


@pytest.mark.parametrize(
    "name, options",
    [
        ("telephone.wav", {"rate_hz": 8000}),
        ("stereo.wav", {"rate_hz": 44100, "channels": 2}),
        ("studio.flac", {"rate_hz": 48000}),
        ("music.mp3", {"rate_hz": 44100, "seconds": 1.0}),
        ("short.wav", {"seconds": 0.4}),
        ("long.ogg", {"seconds": 60.0}),
        ("clipped.wav", {"level": 30.0, "subtype": "PCM_16"}),
    ],
)
def test_recordings_of_all_kinds(evc, tmp_path, name, options):
    seconds = write(tmp_path / name, **options)
    code, _, errors = evc(name, "--emotion", "happy", "-o", "out.wav")
    assert (code, errors) == (0, [])
    info = soundfile.info(tmp_path / "out.wav")
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    assert abs(info.duration - soundfile.info(tmp_path / name).duration) < FRAME_S
    assert abs(info.duration - seconds) < 0.1


def test_recordings_of_phones_and_browsers(evc, tmp_path):
    pytest.importorskip("av")
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "a.wav")
    for name, container, codec in (("a.m4a", "ipod", "aac"), ("b.webm", "webm", "libopus")):
        (tmp_path / "in" / name).write_bytes(as_container(tone(1.0, 48000), 48000, container, codec))
    code, _, errors = evc("in/a.m4a", "--voice", "in/b.webm", "-o", "out.wav")
    assert (code, errors) == (0, []) and soundfile.info(tmp_path / "out.wav").frames == 16000
    code, _, errors = evc("in", "-o", "out")
    assert (code, errors) == (0, [])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-2.wav", "a.wav", "b.wav"]
    (tmp_path / "cut.m4a").write_bytes((tmp_path / "in" / "a.m4a").read_bytes()[:5000])
    assert evc("cut.m4a", "-o", "no.wav") == (2, "", [
        "evc convert: cut.m4a cannot be read as audio; give a WAV, FLAC, MP3, OGG, M4A, WebM or other recording."
    ])  # fmt: skip


def make_unusable(folder):
    soundfile.write(folder / "silence.wav", np.zeros(16000), 16000)
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("I am not a recording.\n")
    soundfile.write(folder / "nan.wav", np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    soundfile.write(folder / "blink.wav", tone(0.05), 16000)


@pytest.mark.parametrize("name", ["silence.wav", "empty.wav", "text.wav", "nan.wav", "blink.wav", "missing.wav"])
def test_unusable_recordings_get_one_sentence(evc, tmp_path, name):
    make_unusable(tmp_path)
    code, _, errors = evc(name, "-o", "out.wav")
    assert code == 2
    assert len(errors) == 1 and name in errors[0] and errors[0].endswith(".")
    assert not (tmp_path / "out.wav").exists()


def test_bad_files_do_not_stop_the_others(evc, tmp_path):
    (tmp_path / "in").mkdir()
    make_unusable(tmp_path / "in")
    for i in range(3):
        write(tmp_path / "in" / f"good{i}.wav")
    code, out, errors = evc("in", "-o", "out")
    assert code == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good0.wav", "good1.wav", "good2.wav"]
    assert len(errors) == 6 and errors[-1].endswith("5 of 8 recordings could not be converted.")
    assert len(out.splitlines()) == 3


def test_what_is_passed_over_is_named(evc, tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "good.wav")
    (tmp_path / "in" / "book.aax").touch()
    code, out, errors = evc("in", "-o", "out")
    assert code == 0 and len(out.splitlines()) == 1
    assert errors == ["evc convert: in: passed over: 1 (format that is not read: book.aax)"]


def test_a_warning_about_a_recording_is_one_line(evc, tmp_path):
    write(tmp_path / "cut.wav", seconds=1.0)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:24_044])
    code, _, errors = evc("cut.wav", "-o", "out.wav")
    assert code == 0 and errors == ["evc convert: cut.wav ends early; 0.75 s could be read."]
    assert warnings.showwarning.__module__ != "evc_jax.cli.commands"


def test_names_that_are_no_text_are_printed_with_replacement_characters(evc, tmp_path):
    (tmp_path / "in").mkdir()
    write(tmp_path / "good.wav")
    shutil.copy(tmp_path / "good.wav", os.fsencode(tmp_path / "in") + b"/caf\xe9.wav")
    open(os.fsencode(tmp_path / "in") + b"/b\xe4d.wav", "wb").close()
    code, out, errors = evc("in", "-o", "out")
    assert code == 2 and out.startswith(f"out{os.sep}caf\ufffd.wav: 0.6 s")
    assert errors[0].startswith("evc convert: ") and "b\ufffdd.wav" in errors[0]
    assert os.listdir(os.fsencode(tmp_path / "out")) == [b"caf\xe9.wav"]


def test_help_names_the_bounds_of_f0(capsys):
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    assert "F0 is found from 62 to about 600 Hz; higher voices count as unvoiced." in capsys.readouterr().out


def test_strength_zero_equals_the_reconstruction(evc, tmp_path):
    write(tmp_path / "a.wav")
    evc("a.wav", "-o", "plain.wav")
    evc("a.wav", "--emotion", "sad", "--strength", "0", "-o", "zero.wav")
    evc("a.wav", "--emotion", "sad", "-o", "sad.wav")
    assert samples(tmp_path / "plain.wav") == samples(tmp_path / "zero.wav")
    assert samples(tmp_path / "plain.wav") != samples(tmp_path / "sad.wav")


def test_a_failure_leaves_an_earlier_output_as_it_was(evc, tmp_path):
    make_unusable(tmp_path)
    (tmp_path / "out.wav").write_bytes(b"precious")
    assert evc("nan.wav", "-o", "out.wav")[0] == 2
    assert (tmp_path / "out.wav").read_bytes() == b"precious"


def test_plot(evc, tmp_path):
    write(tmp_path / "a.wav")
    assert evc("a.wav", "--plot", "-o", "out.wav")[0] == 0
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_sampled_voices_are_found_again(evc, tmp_path):
    write(tmp_path / "a.wav")
    code, out, _ = evc("-n", 2, "--sex", "female", "--seed", 3, "-o", "voices", command="voices")
    assert code == 0
    assert [line.replace("\\", "/") for line in out.splitlines()] == [
        "voices/female-3-0.npy",
        "voices/female-3-1.npy",
    ]
    assert evc("a.wav", "--voice", "voices/female-3-1.npy", "-o", "out.wav")[0] == 0
    assert evc("a.wav", "--voice", "female-3-1", "--voices-dir", "voices", "-o", "named.wav")[0] == 0
    assert samples(tmp_path / "named.wav") == samples(tmp_path / "out.wav")


def test_cloned_voices_are_found_by_name(evc, tmp_path, monkeypatch):
    monkeypatch.setenv("EVC_VOICES_DIR", str(tmp_path / "mine"))
    assert evc("--list", command="voices")[:2] == (0, "")
    for name, f0_hz in (("a.wav", 110), ("b.wav", 220)):
        soundfile.write(tmp_path / name, tone(1.0, f0_hz=f0_hz), 16000)
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder" / "c.wav", seconds=1.0)
    assert evc("--name", "anna", "--from", "a.wav", "b.wav", "folder", command="voices")[0] == 0
    assert evc("--name", "eve", "--sex", "female", command="voices")[0] == 0
    code, out, _ = evc("--list", command="voices")
    assert code == 0 and [line.split("\t")[0] for line in out.splitlines()] == ["anna", "eve"]
    assert evc("a.wav", "--voice", "anna", "-o", "named.wav")[0] == 0
    assert evc("a.wav", "--voice", "a.wav", "--voice", "b.wav", "--voice", "folder", "-o", "files.wav")[0] == 0
    assert samples(tmp_path / "named.wav") == samples(tmp_path / "files.wav")


def test_similarity(evc, tmp_path):
    for name, f0_hz in (("a.wav", 110), ("b.wav", 220)):
        soundfile.write(tmp_path / name, tone(1.0, f0_hz=f0_hz), 16000)
    code, out, errors = evc("a.wav", "b.wav", command="similarity")
    assert (code, errors) == (0, []) and "speaker" in out and "LibriSpeech" in out
    figures = json.loads(evc("a.wav", "a.wav", "--json", command="similarity")[1])
    assert figures["cosine"] == pytest.approx(1, abs=1e-5) and "very likely the same" in figures["verdict"]
    for arguments, message in (
        (("a.wav", "no.wav"), "The voice 'no.wav' is no file"),
        (("original", "a.wav"), "'original' is no recording"),
        (("a.wav",), "required: B.wav"),
    ):
        code, _, errors = evc(*arguments, command="similarity")
        assert code == 2 and len(errors) == 1 and message in errors[0]


def test_rendering_from_the_source(evc, tmp_path):
    for name in ("a.wav", "b.wav"):
        write(tmp_path / name, seconds=0.6 if name == "a.wav" else 0.8)
    assert evc("a.wav", "--rendering", "source", "--plot", "-o", "same.wav")[0] == 0
    samples = [soundfile.read(tmp_path / name, dtype="int16")[0] for name in ("a.wav", "same.wav")]
    np.testing.assert_array_equal(*samples)
    code, _, errors = evc(
        "a.wav", "b.wav", "--aspects", "rf", "--rendering", "source", "-o", "c.wav", command="transfer"
    )
    assert (code, errors) == (0, []) and soundfile.info(tmp_path / "c.wav").frames == round(0.8 * 16000)


def test_transfer(evc, tmp_path):
    write(tmp_path / "a.wav", seconds=0.5, rate_hz=8000)
    write(tmp_path / "b.flac", seconds=0.9, rate_hz=44100, channels=2)
    code, out, errors = evc("a.wav", "b.flac", "--aspects", "rf", "--plot", "-o", "out.wav", command="transfer")
    assert (code, errors) == (0, []) and out.startswith("out.wav: 0.9 s")
    assert abs(soundfile.info(tmp_path / "out.wav").duration - 0.9) < FRAME_S
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    assert evc("a.wav", "b.flac", "--aspects", "U", "-o", "u.flac", command="transfer")[0] == 0
    assert abs(soundfile.info(tmp_path / "u.flac").duration - 0.5) < FRAME_S


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["a.wav", "b.wav"], "required: -o/--output"),
        (["a.wav", "-o", "o.wav"], "required: TARGET.wav"),
        (["a.wav", "b.wav", "--aspects", "RX", "-o", "o.wav"], "The aspects are 'RX'; give one or more of R (rhythm)"),
        (["a.wav", "b.wav", "-o", "b.wav"], "b.wav would overwrite a recording"),
        (["a.wav", "b.wav", "-o", "o.m4b"], "name the output .wav, .flac, .mp3, .ogg or .opus"),
        (["a.wav", "b.wav", "-o", "no/o.wav"], "does not exist; make it"),
        (["a.wav", "no.wav", "-o", "o.wav"], "no.wav does not exist"),
        (["a.wav", "silence.wav", "-o", "o.wav"], "silence.wav: the recording is silent"),
        (["text.wav", "b.wav", "-o", "o.wav"], "text.wav cannot be read as audio"),
    ],
)
def test_mistakes_in_a_transfer_get_one_sentence(evc, tmp_path, arguments, message):
    make_unusable(tmp_path)
    for name in ("a.wav", "b.wav"):
        write(tmp_path / name, seconds=0.2)
    code, _, errors = evc(*arguments, command="transfer")
    assert code == 2
    assert len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "o.wav").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "The voice to write is not given"),
        (["--sex", "male", "--from", "a.wav", "--name", "x"], "not both"),
        (["-n", "2", "--from", "a.wav", "--name", "x"], "not both"),
        (["--from", "a.wav"], "needs a name"),
        (["--from", "a.wav", "--name", "../x"], "A voice cannot be named '../x'"),
        (["--from", "no.wav", "--name", "x"], "no.wav does not exist"),
        (["--from", "empty", "--name", "x"], "The folder empty holds no recordings"),
        (["--sex", "male", "-n", "0"], "expected a whole number from 1"),
    ],
)
def test_mistakes_about_voices_get_one_sentence(evc, tmp_path, arguments, message):
    write(tmp_path / "a.wav", seconds=0.2)
    (tmp_path / "empty").mkdir()
    code, _, errors = evc(*arguments, "-o", "out", command="voices")
    assert code == 2
    assert len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "out").exists()


def test_neutral_controls_on_the_command_line_change_nothing(evc, tmp_path):
    write(tmp_path / "a.wav")
    neutral = ["--strength", "1", "--pitch-range", "1", "--pitch-shift", "0", "--rate", "1", "--timbre", "1"]
    evc("a.wav", "-o", "plain.wav")
    evc("a.wav", *neutral, "--flatten", "0", "--denoise", "0", "-o", "neutral.wav")
    evc("a.wav", "--rate", "1.5", "-o", "fast.wav")
    assert samples(tmp_path / "plain.wav") == samples(tmp_path / "neutral.wav")
    assert soundfile.info(tmp_path / "fast.wav").frames == round(soundfile.info(tmp_path / "plain.wav").frames / 1.5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["a.wav"], "required: -o/--output"),
        (["a.wav", "-o", "o.wav", "--emotion", "hungry"], "no emotion 'hungry'; choose one of neutral, happy, sad"),
        (["a.wav", "-o", "o.wav", "--strength", "-1"], "strength is -1; give a number from 0 to 3"),
        (["a.wav", "-o", "o.wav", "--strength", "strong"], "'strong' was given, expected a number"),
        (["a.wav", "-o", "o.wav", "--strength", "nan"], "strength is nan; give a number"),
        (["a.wav", "-o", "o.wav", "--pitch-shift", "13"], "'13' was given, expected a number from -12 to 12"),
        (["a.wav", "-o", "o.wav", "--pitch-range", "-1"], "'-1' was given, expected a number from 0 to 3"),
        (["a.wav", "-o", "o.wav", "--rate", "0"], "'0' was given, expected a number from 0.5 to 2"),
        (["a.wav", "-o", "o.wav", "--timbre", "2"], "'2' was given, expected a number from 0 to 1"),
        (["a.wav", "-o", "o.wav", "--timbre", "0.5"], "The timbre 0.5 leads from the source's voice to another one"),
        (["a.wav", "-o", "o.wav", "--flatten", "x"], "'x' was given, expected a number from 0 to 1"),
        (["a.wav", "-o", "o.wav", "--voice", "original", "--voice", "b.wav"], "cannot be averaged with others"),
        (["a.wav", "-o", "o.wav", "--voice", "x", "--voices-dir", "no"], "There is no folder of voices at no"),
        (["a.wav", "-o", "o.wav", "--seed", "-3"], "'-3' was given, expected a whole number"),
        (["a.wav", "-o", "o.wav", "--vocoder", "wavenet"], "invalid choice: 'wavenet'"),
        (["a.wav", "-o", "o.wav", "--voice", "sampled:martian"], "'martian'; give sampled:female or sampled:male"),
        (["a.wav", "-o", "o.wav", "--voice", "no.wav"], "The voice 'no.wav' is no file"),
        (["a.wav", "-o", "no/such/o.wav"], "does not exist; make it"),
        (["a.wav", "-o", "a.wav"], "would overwrite a recording"),
        (["a.wav", "b.wav", "-o", "o.wav"], "give a folder as -o"),
        (["a.wav", "-o", "o.m4b"], "name the output .wav, .flac, .mp3, .ogg or .opus"),
        (["a.wav", "-o", "o.m4a"], "o.m4a cannot be written; name the output .wav, .flac, .mp3, .ogg or .opus"),
        (["-o", "o.wav"], "required: INPUT"),
    ],
)
def test_mistakes_get_one_sentence(evc, tmp_path, arguments, message):
    for name in ("a.wav", "b.wav"):
        write(tmp_path / name, seconds=0.2)
    code, _, errors = evc(*arguments)
    assert code == 2
    assert len(errors) == 1 and message in errors[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "b.wav"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--max-seconds", "0"], "'0' was given, expected a number from 1 to 1000000000"),
        (["--max-seconds", "nan"], "'nan' was given, expected a number from 1"),
        (["--mel-storage", "float8"], "invalid choice: 'float8'"),
        (["--audio-storage", "mp3"], "invalid choice: 'mp3'"),
    ],
)
def test_mistakes_about_datasets_get_one_sentence(evc, tmp_path, arguments, message):
    code, _, errors = evc("ravdess", "corpus", "-o", "out", *arguments, command="prepare")
    assert code == 2
    assert len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["", "sing"])
def test_unknown_commands(command, capsys):
    with pytest.raises(SystemExit) as exit:
        main([command] if command else [])
    assert exit.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_missing_bundle(tmp_path, capsys):
    write(tmp_path / "a.wav", seconds=0.2)
    code = main(["convert", str(tmp_path / "a.wav"), "-o", str(tmp_path / "o.wav"), "--bundle", str(tmp_path / "no")])
    assert code == 2
    assert "There is no bundle directory at" in capsys.readouterr().err


def test_a_checkpoint_that_is_not_there_is_named(tmp_path, capsys):
    (tmp_path / "run" / "checkpoints" / "5").mkdir(parents=True)
    command = ["bundle", "--speechsplit", str(tmp_path / "run"), "-o", str(tmp_path / "bundle"), "--checkpoint", "7"]
    assert main(command) == 2
    assert "has no checkpoint '7'; name best, last or one of 5." in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["convert"],
        ["sweep"],
        ["transfer"],
        ["voices"],
        ["similarity"],
        ["emotion"],
        ["prepare"],
        ["bundle"],
        ["train"],
    ],
)
def test_help_teaches_and_imports_nothing_slow(command):
    code = (
        "import sys, evc_jax.cli.commands\n"
        "try: evc_jax.cli.commands.main(sys.argv[1:])\n"
        "finally: assert not {'jax', 'jaxtyping', 'scipy', 'librosa', 'matplotlib', 'flax'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "evc convert " in done.stdout or f"evc {command[0]} " in done.stdout
    assert "example" in done.stdout or "from a corpus" in done.stdout


def test_a_conversion_imports_nothing_that_it_does_not_need(tiny_bundle, tmp_path):
    write(tmp_path / "a.wav")
    code = (
        "import sys\n"
        "from evc_jax.cli.commands import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "needless = 'sklearn matplotlib ml_collections tensorflow tensorflow_datasets grain torch'\n"
        "assert not set(needless.split()) & set(sys.modules)"
    )
    files = ["convert", tmp_path / "a.wav", "-o", tmp_path / "o.wav", "--bundle", tiny_bundle]
    command = [sys.executable, "-c", code, *map(str, files), "--emotion", "happy"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_program_hardly_looks_for_garbage_and_not_at_all_at_its_end():
    code = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print('collected' if gc.get_freeze_count() == 0 else 'frozen'))\n"
        "from evc_jax.cli import commands\n"
        "sys.argv = ['evc', 'voices', '--list', '--voices-dir', 'nowhere']\n"
        "commands.main()\n"
        "print(gc.get_threshold()[0] == commands.COLLECTOR_THRESHOLD, gc.isenabled())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True", "frozen"], done.stderr


def test_calling_main_from_python_leaves_the_collector_alone(capsys):
    before = gc.get_threshold()
    main(["voices", "--list", "--voices-dir", "nowhere"])
    assert gc.get_threshold() == before
