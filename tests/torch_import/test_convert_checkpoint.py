"""The command that converts a checkpoint, as a user meets it."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from support.scripts import load_script
from support.torch_files import archive

from evc_jax.models import voice_encoder
from evc_jax.pretrained.workdir import load_for_inference
from evc_jax.torch_import.originals import convert

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def script(name):
    return load_script(f"scripts/{name}.py")


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command in this process: exit code, output, errors."""

    def call(*arguments, name="convert_checkpoint"):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        try:
            code = script(name).main()
        except SystemExit as leaving:
            code = leaving.code
        return code, *capsys.readouterr()

    return call


def test_a_workdir_comes_out(command, golden_dir, tmp_path):
    output = tmp_path / "runs" / "codegan"
    code, printed, errors = command(golden_dir / "codegan-200000-G.ckpt", "-o", output)
    assert code == 0 and not errors
    for part in ("CodeGAN's generator, 462,946 weights, step 200000", "down_widths [32, 64, 128]",
                 "emotions: angry, happy, sad, neutral", "5 x running_mean", "evc bundle --codegan"):  # fmt: skip
        assert part in printed
    trained = load_for_inference(output)
    assert (trained.system, trained.step, list(trained.networks)) == ("codegan", 200000, ["codegan"])
    expected = convert(golden_dir / "codegan-200000-G.ckpt")
    jax.tree.map(np.testing.assert_array_equal, trained.params["codegan"], expected.params)
    assert trained.config["options"]["emotions"][0] == "angry" and trained.config["data"] == {"datasets": []}
    assert trained.config["audio"]["sample_rate_hz"] == 16000
    assert trained.config["converted_from"] == expected.source
    files = [file for file in output.rglob("*") if file.is_file()]
    assert not [file for file in files if str(tmp_path).encode() in file.read_bytes()]  # where it was made is private


def test_nothing_is_replaced(command, golden_dir, tmp_path):
    (tmp_path / "empty").mkdir()
    assert command(golden_dir / "voicegan-1000000-G.ckpt", "-o", tmp_path / "empty")[0] == 0
    (tmp_path / "file").write_text("mine")
    for name in ("empty", "file"):
        code, _, errors = command(golden_dir / "codegan-200000-G.ckpt", "-o", tmp_path / name)
        assert code == 2 and "exists; choose another output directory" in errors
    assert load_for_inference(tmp_path / "empty").system == "voicegan"
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


def test_all_or_nothing(command, golden_dir, tmp_path, monkeypatch):
    from evc_jax.torch_import import conversion_command

    def fail(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(conversion_command, "write_params", fail)
    code, _, errors = command(golden_dir / "voicegan-1000000-G.ckpt", "-o", tmp_path / "out")
    assert code == 2 and errors == "convert_checkpoint.py: no space left on device.\n"
    assert list(tmp_path.iterdir()) == []


def test_one_sentence_and_exit_code_2(command, tmp_path):
    evil = archive(tmp_path / "evil.ckpt", b"\x80\x02cos\nsystem\n(X\x02\x00\x00\x00idtR.")
    cases = [
        ((evil, "-o", tmp_path / "out"), "asks for os.system, which is neither"),
        ((tmp_path / "none", "-o", tmp_path / "out"), "does not exist; give a checkpoint file"),
        ((evil, "-o", tmp_path), "exists; choose another output directory"),
        ((evil,), "the following arguments are required: -o/--output"),
        ((evil, "-o", "x", "--hparam", "freq"), "'freq' was given, expected NAME=N"),
        ((evil, "-o", "x", "--hparam", "freq=0"), "'0' was given, expected a positive whole number"),
        ((evil, "-o", "x", "--hop", "1.5"), "'1.5' was given, expected a positive whole number"),
        ((evil, "-o", "x", "--audio", "mp3"), "invalid choice: 'mp3'"),
    ]
    for arguments, message in cases:
        code, printed, errors = command(*arguments)
        assert code == 2 and message in errors.splitlines()[-1] and not printed
    assert [path.name for path in tmp_path.iterdir()] == ["evil.ckpt"]


def test_help_teaches():
    result = subprocess.run(
        [sys.executable, str(SCRIPTS / "convert_checkpoint.py"), "--help"], capture_output=True, text=True, check=True
    )
    for part in ("640000-P.ckpt", "pretrained.pt", "--hparam freq=4", "evc bundle --speechsplit"):
        assert part in result.stdout


def test_the_voice_encoder_is_converted_without_pytorch(command, golden_dir, tmp_path):
    torch = pytest.importorskip("torch", reason="needs the extra dev")
    from support.original_modules import VoiceEncoder

    path, output = tmp_path / "pretrained.pt", tmp_path / "encoder.npz"
    model = VoiceEncoder()
    torch.save({"model_state": model.state_dict()}, path, _use_new_zipfile_serialization=False)
    assert command(path, "-o", output, name="convert_voice_encoder")[0] == 0
    params = voice_encoder.load_params(output)
    np.testing.assert_array_equal(params["linear"]["kernel"], model.linear.weight.detach().numpy().T)
    code, _, errors = command(golden_dir / "voicegan-1000000-G.ckpt", "-o", output, name="convert_voice_encoder")
    assert code == 2 and "holds VoiceGAN's generator; give Resemblyzer's pretrained.pt" in errors
