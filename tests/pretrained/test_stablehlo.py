"""Exported programs: run by JAX alone, without this package, they give what the bundle's networks give."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from support.tiny_bundles import CONFIGS, EMOTIONS, config_of, description, write_bundle
from support.tiny_systems import QUICK_COMPILATION

from evc_jax.cli.commands import main
from evc_jax.conversion.engine import ConversionEngine, WindowInputs
from evc_jax.errors import BundleError
from evc_jax.features import speaker
from evc_jax.models.speechsplit.codes import replace_codes, select_codes
from evc_jax.models.speechsplit.network import Codes
from evc_jax.pretrained.bundle import load_bundle, save_bundle
from evc_jax.pretrained.checksums import verify_checksums
from evc_jax.pretrained.description import build_network
from evc_jax.pretrained.stablehlo import programs_of
from evc_jax.vocoders.waveglow import compiled_synthesis, synthesis_weights

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "run_stablehlo.py"
# Runs the example once for each program, where nothing of this package can be imported.
ELSEWHERE = """
import runpy, sys
from pathlib import Path
class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in ("evc_jax", "flax", "orbax", "jaxtyping"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing)
example, folder, arrays = sys.argv[1:]
for inputs in sorted(Path(arrays).glob("*.inputs.npz")):
    name = inputs.name.split(".")[0]
    outputs = inputs.with_name(inputs.name.replace("inputs", "outputs"))
    sys.argv = ["example", f"{folder}/{name}.stablehlo", str(inputs), str(outputs)]
    runpy.run_path(example)
assert "evc_jax" not in sys.modules
"""
ROWS, STEPS = 3, 5  # of the open sizes
QUICK = {**os.environ, **QUICK_COMPILATION}
EXACT = {"rtol": 0, "atol": 1e-5}


pytestmark = pytest.mark.usefixtures("quick_programs")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    names = (*CONFIGS, "prosody", "timbre_converter")
    folder = tmp_path_factory.mktemp("bundles") / "tiny"
    configs = {name: config_of(name) if name != "timbre_converter" else {"width": 8, "blocks": 2} for name in names}
    rng, params = np.random.default_rng(0), {}
    for name, config in configs.items():
        shapes = build_network(name, config).shapes()
        params[name] = jax.tree.map(lambda leaf: _drawn(rng, leaf.shape), shapes)
    networks = {name: {"config": config, "steps": 0, "validation": {}} for name, config in configs.items()}
    return load_bundle(save_bundle(folder, {**description(()), "networks": networks}, params))


def _drawn(rng, shape):
    if len(shape) == 2 and shape[0] == shape[1]:  # some must be invertible
        return np.linalg.qr(rng.standard_normal(shape))[0].astype(np.float32)
    return (rng.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[:-1])))).astype(np.float32)


@pytest.fixture(scope="module")
def exported(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "programs"
    command = [sys.executable, "-m", "evc_jax", "bundle", "export", bundle.path, "--format", "stablehlo", "-o", folder]
    # The LSTM that is chosen here would be one of CUDA alone. In this process annotations are checked, and open sizes
    # are no `int`.
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=QUICK | {"EVC_LSTM": "cudnn"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(folder)
    return folder


@pytest.fixture(scope="module")
def programs(exported):
    return {file.stem: export.deserialize(bytearray(file.read_bytes())) for file in exported.glob("*.stablehlo")}


def _inputs(program):
    """Arrays of the shapes that a program takes."""
    rng, arrays = np.random.default_rng(0), {}
    for name, (shape, dtype) in program.inputs.items():
        sizes = [eval(size, {"b": ROWS, "n": STEPS}) for size in shape.split(",") if size.strip()]
        whole = dtype == np.int32
        arrays[name] = rng.integers(0, 100, sizes, np.int32) if whole else rng.random(sizes).astype(np.float32)
    return arrays


def _ours(bundle, name, inputs):
    """What the bundle's network gives for a program's inputs."""

    def apply(network, *names, **options):
        trained = bundle.network(network)
        return jax.jit(lambda params, *arrays: trained.network.apply(params, *arrays, **options))(
            trained.params, *[inputs[each] for each in names]
        )

    if name == "speechsplit_encoder":
        return vars(apply("speechsplit", "mel", "f0", rhythm_mel=inputs["rhythm_mel"], method="encode"))
    if name == "speechsplit_decoder":
        codes = Codes(*(jnp.asarray(inputs[each]) for each in ("content", "rhythm", "pitch")))
        inputs = {"codes": codes, **inputs}
        return {"mel": apply("speechsplit", "codes", "embedding", method="decode")}
    if name == "waveglow":
        waveglow = bundle.network("waveglow")
        noise = tuple(inputs[each] for each in sorted(inputs) if each.startswith("noise"))
        made = compiled_synthesis(waveglow.network.config)(
            synthesis_weights(waveglow), inputs["mel"], noise, inputs["sigma"]
        )
        return {"sound": made}
    if name == "voice_encoder":
        return {"embedding": speaker.encode(inputs["mel"])}
    if name == "timbre_converter":
        return {"db": apply(name, "mel", "source", "target", "register_shift").db}
    names = {
        "codegan": ("codes", ["codes", "emotion"]),
        "f0_converter": ("logits", ["mel", "f0"]),
        "prosody": ("change", ["track", "summary", "emotion"]),
        "voicegan": ("embedding", ["noise", "sex"]),
    }
    output, arguments = names[name]
    return {output: apply(name, *arguments)}


def test_jax_alone_gives_what_the_networks_give(bundle, exported, tmp_path):
    programs, expected = programs_of(bundle), {}
    for name, program in programs.items():
        inputs = _inputs(program)
        np.savez(tmp_path / f"{name}.inputs.npz", **inputs)
        expected[tmp_path / f"{name}.outputs.npz"] = _ours(bundle, name, inputs)
    command = [sys.executable, "-c", ELSEWHERE, str(EXAMPLE), str(exported), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=QUICK)
    assert done.returncode == 0, done.stderr
    assert len(expected) == 9
    for file, arrays in expected.items():
        with np.load(file) as found:
            assert set(found.files) == set(arrays)
            for name, array in arrays.items():
                assert found[name].shape == array.shape and np.std(array) > 0
                np.testing.assert_allclose(found[name], array, err_msg=f"{file.name} {name}", **EXACT)


def test_the_programs_in_a_row_convert_as_the_engine_does(bundle, programs):
    rng = np.random.default_rng(1)
    mel, f0 = rng.random((2, 192, 80)).astype(np.float32), rng.integers(0, 257, (2, 192), np.int32)
    embedding = rng.random((2, 256)).astype(np.float32)
    emotion = np.repeat(np.eye(len(EMOTIONS), dtype=np.float32)[1][None, None], 2, axis=0).repeat(192, axis=1)
    ones = np.ones((2, 192), np.float32)
    expected = ConversionEngine(bundle).convert(
        WindowInputs(mel, mel, f0, embedding, emotion, ones, np.ones(2, np.float32))
    )
    codes = Codes(**programs["speechsplit_encoder"].call(mel=mel, f0=f0, rhythm_mel=mel))
    source = select_codes(codes, bundle.code)
    moved = programs["codegan"].call(codes=source, emotion=emotion[:, :: 192 // source.shape[1]])["codes"]
    changed = replace_codes(codes, bundle.code, moved)
    made = programs["speechsplit_decoder"].call(**vars(changed), embedding=embedding)["mel"]
    np.testing.assert_allclose(made, expected, **EXACT)


def test_a_program_serves_every_platform_and_holds_nothing_of_one_alone(programs):
    assert len(programs) == 9
    for name, program in programs.items():
        assert program.platforms == ("cpu", "cuda", "tpu"), name
        calls = set(re.findall(r"custom_call @(\w+)", program.mlir_module()))
        assert calls <= {"shape_assertion"}, name
        assert any(export.is_symbolic_dim(size) for aval in program.in_avals for size in aval.shape), name


def test_the_page_lists_what_the_programs_take_and_give(exported, programs):
    page = (exported / "README.md").read_text()
    for name, program in programs.items():
        section = page.split(f"## {name}.stablehlo")[1].split("\n## ")[0]
        arrays = {**program.in_tree.unflatten(program.in_avals)[1], **program.out_tree.unflatten(program.out_avals)}
        for each, shaped in arrays.items():
            assert f"`{each}` | [{', '.join(map(str, shaped.shape))}] | {shaped.dtype} |" in section
    assert json.loads((exported / "bundle.json").read_text())["emotions"] == list(EMOTIONS)
    verify_checksums(exported, "it")


def test_the_example_says_what_a_program_takes(exported, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["example", str(exported / "voicegan.stablehlo")])
    runpy.run_path(str(EXAMPLE))
    printed = capsys.readouterr().out
    assert "platforms: cpu cuda tpu" in printed and "'sex': ShapedArray(float32[b,2])" in printed


def test_the_command_line_exports_what_a_bundle_has(tmp_path, capsys):
    small, folder = write_bundle(tmp_path / "small", ("voicegan",)), tmp_path / "programs"
    assert main(["bundle", "export", str(small), "--format", "stablehlo", "-o", str(folder)]) == 0
    capsys.readouterr()
    assert {file.stem for file in folder.glob("*.stablehlo")} == {"voicegan", "voice_encoder"}
    with pytest.raises(BundleError, match="is one for other programs"):
        load_bundle(folder).network("voicegan")
    (tmp_path / "mine").write_text("mine")
    assert main(["bundle", "export", str(small), "--format", "stablehlo", "-o", str(tmp_path / "mine")]) == 2
    assert "exists and is not a bundle" in capsys.readouterr().err
