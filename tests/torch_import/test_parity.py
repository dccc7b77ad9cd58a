"""Our networks against the original PyTorch implementation, forwards and backwards."""

import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from support.scripts import load_script
from support.tiny_systems import quick_compilation

from evc_jax.errors import CheckpointError, ConfigError
from evc_jax.models.gan.codegan import CodeDiscriminator, CodeGANConfig, CodeGenerator
from evc_jax.models.gan.voicegan import VoiceDiscriminator, VoiceGANConfig, VoiceGenerator
from evc_jax.models.network import Network
from evc_jax.models.speechsplit.config import EncoderConfig, F0ConverterConfig, SpeechSplitConfig
from evc_jax.models.speechsplit.network import F0Converter, SpeechSplit
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.network import WaveGlow
from evc_jax.torch_import import golden_checks, torch_gans, torch_names, torch_speechsplit, torch_waveglow
from evc_jax.torch_import.golden_checks import CHECKS
from evc_jax.torch_import.parity import Report, relative_error

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check_parity.py"
OWN = SCRIPT.parents[1] / "tests" / "golden"
SLOW = {"codegan.npz", "waveglow.npz"}
FILES = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in CHECKS]


@pytest.mark.parametrize("name", FILES)
def test_golden_file(golden_dir, name):
    with quick_compilation():
        report = golden_checks.check_file(golden_dir / name)
    assert report.errors["outputs"]
    assert report.passed, report.errors


def test_files_without_a_network_are_skipped(golden_dir):
    assert golden_checks.check_file(golden_dir / "features.npz") is None


def run_script(folder):
    command = [sys.executable, str(SCRIPT), "--golden", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_script_passes_and_fails(golden_dir, tmp_path):
    name = "speechsplit_random_resampling.npz"
    shutil.copy(golden_dir / name, tmp_path / name)
    result = run_script(tmp_path)
    assert result.returncode == 0 and name in result.stdout and " ok " in result.stdout

    (tmp_path / name).chmod(0o644)
    arrays = dict(np.load(golden_dir / name))
    arrays["y"] = arrays["y"] * 1.001
    np.savez(tmp_path / name, **arrays)
    result = run_script(tmp_path)
    assert result.returncode == 1 and "FAILED" in result.stdout and "outputs 1.0e-03" in result.stdout


def test_all_networks_pass_on_a_fresh_clone(monkeypatch, capsys):
    """Run in this process, where programs need no optimization."""
    script = load_script("scripts/check_parity.py")
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    with quick_compilation():
        code = script.main()
    printed = capsys.readouterr().out
    assert code == 0 and {line.split()[0] for line in printed.splitlines() if " ok " in line} == set(CHECKS), printed


def test_vectors_are_made_from_pytorch(tmp_path):
    pytest.importorskip("torch")
    from benchmarks.golden import write_golden

    files = write_golden(tmp_path, None, None, seed=0)
    assert {file.name for file in files} == set(CHECKS)
    for file in files:  # tests/golden is what this makes, give or take PyTorch's rounding
        with np.load(file) as made, np.load(OWN / file.name) as kept:
            assert {k: made[k].shape for k in made.files} == {k: kept[k].shape for k in kept.files}, file
            for name in (
                name for name in made.files if name.startswith(("params", "codes", "mel_out", "z", "infer_audio"))
            ):
                np.testing.assert_allclose(made[name], kept[name], rtol=1e-3, atol=1e-4, err_msg=f"{file} {name}")
    with pytest.raises(ConfigError, match="holds no glow.py; give a checkout of https://github.com/NVIDIA/waveglow"):
        write_golden(tmp_path, tmp_path, None, seed=5)


def test_script_wants_golden_files(tmp_path):
    result = run_script(tmp_path)
    assert result.returncode == 2 and "holds no .npz file" in result.stderr


def test_report_counts_nan_as_failure():
    report = Report()
    report.output("y", np.array([np.nan, 1.0]), np.ones(2))
    assert not report.passed


def test_relative_error():
    assert relative_error([1.0, 2.0], [1.0, 4.0]) == 0.5
    assert relative_error([0.25], [0.0]) == 0.25
    assert relative_error([1.0], [0.0], floor=10.0) == 0.1
    with pytest.raises(ValueError, match="Shapes differ"):
        relative_error([1.0], [[1.0]])


ENCODER = EncoderConfig(width=8, neck=2, factor=8)
SPEECHSPLIT = SpeechSplitConfig(
    content=EncoderConfig(width=16, neck=3, lstm_layers=2),
    rhythm=EncoderConfig(width=8, neck=1, blocks=1),
    pitch=ENCODER,
    mel_bands=5,
    f0_classes=7,
    embedding_channels=4,
    decoder_width=6,
    decoder_layers=2,
    group_channels=16 // 2,
    kernel=3,
)
CONVERTER = F0ConverterConfig(
    rhythm=EncoderConfig(width=8, neck=1, blocks=1),
    pitch=ENCODER,
    mel_bands=5,
    f0_classes=7,
    decoder_width=6,
    decoder_layers=1,
    group_channels=8,
)
WAVEGLOW = WaveGlowConfig(4, 5, 16, 2, 4, 3, 6, 5, 32, 16)
NO_EARLY = WaveGlowConfig(4, 2, 8, 2, 0, 2, 4, 3, 32, 16)
VOICEGAN = VoiceGANConfig(5, 6, 2, (7,), (8, 9, 10))
CODEGAN = CodeGANConfig(6, 3, (4, 8), (6,), 2, 5, 5, (4, 8), (3, 2), (2, 1))


@pytest.mark.parametrize(
    ("config", "module", "weights", "read"),
    [
        (
            SPEECHSPLIT,
            SpeechSplit,
            torch_speechsplit.speechsplit_weights,
            lambda s: torch_speechsplit.speechsplit_config(s, {"chs_grp": 8}),
        ),
        (
            CONVERTER,
            F0Converter,
            torch_speechsplit.f0_converter_weights,
            lambda s: torch_speechsplit.f0_converter_config(s, {"chs_grp": 8}),
        ),
        (WAVEGLOW, WaveGlow, torch_waveglow.waveglow_weights, lambda s: torch_waveglow.waveglow_config(s, 16)),
        (NO_EARLY, WaveGlow, torch_waveglow.waveglow_weights, lambda s: torch_waveglow.waveglow_config(s, 16)),
    ],
    ids=["speechsplit", "f0_converter", "waveglow", "waveglow-no-early"],
)
def test_weights_go_out_and_come_back(config, module, weights, read):
    params = Network(module, config).init(jax.random.key(0))
    state = torch_names.to_torch(params, weights(config))
    assert len(state) == len(jax.tree.leaves(params))
    assert read(state) == config
    jax.tree.map(np.testing.assert_array_equal, params, torch_names.from_torch(state, weights(config)))


@pytest.mark.parametrize(
    ("config", "modules", "weights", "read"),
    [
        (
            VOICEGAN,
            (VoiceGenerator, VoiceDiscriminator),
            (torch_gans.voice_generator_weights, torch_gans.voice_discriminator_weights),
            torch_gans.voicegan_config,
        ),
        (
            CODEGAN,
            (CodeGenerator, CodeDiscriminator),
            (torch_gans.code_generator_weights, torch_gans.code_discriminator_weights),
            torch_gans.codegan_config,
        ),
    ],
    ids=["voicegan", "codegan"],
)
def test_both_networks_go_out_and_come_back(config, modules, weights, read):
    params = [Network(module, config).init(jax.random.key(0)) for module in modules]
    states = [torch_names.to_torch(p, list_weights(config)) for p, list_weights in zip(params, weights, strict=True)]
    assert read(*states) == config
    again = [torch_names.from_torch(state, listed(config)) for state, listed in zip(states, weights, strict=True)]
    jax.tree.map(np.testing.assert_array_equal, params, again)


def test_weight_norm_may_be_removed():
    network = Network(WaveGlow, WAVEGLOW)
    params = network.init(jax.random.key(0))
    state = torch_names.to_torch(params, torch_waveglow.waveglow_weights(WAVEGLOW))
    plain = {}
    for name, value in state.items():
        if name.endswith("weight_v"):
            norm = np.sqrt((value**2).sum(axis=(1, 2), keepdims=True))
            plain[name.removesuffix("_v")] = value / norm * state[name.replace("weight_v", "weight_g")]
        elif not name.endswith("weight_g"):
            plain[name] = value
    latest = torch_waveglow.in_latest_form(plain)
    assert torch_waveglow.waveglow_config(latest, 16) == WAVEGLOW
    again = torch_names.from_torch(latest, torch_waveglow.waveglow_weights(WAVEGLOW))
    np.testing.assert_allclose(
        again["couplings"]["0"]["start"]["scale"], params["couplings"]["0"]["start"]["scale"], rtol=1e-5
    )


@pytest.mark.parametrize("group", [8, 12, 96])
@pytest.mark.parametrize("frames", [1, 3, 7, 60])
def test_the_hop_is_found(group, frames):
    config = WaveGlowConfig(group_samples=group)
    assert golden_checks._hop_samples(config, frames * 256 // group * group, frames) == 256


def test_other_checkpoints_are_refused():
    with pytest.raises(CheckpointError, match="has no tensor .*; it is not one of this network"):
        torch_speechsplit.speechsplit_config({"conv.weight": np.zeros((1, 1, 1))})
