"""Checkpoints of the originals become networks that compute what the originals computed."""

import functools
import importlib.util
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from torch_files import importable, nested_module, save

from evc_jax import audio, speaker
from evc_jax.errors import CheckpointError, ConfigError, EvcError
from evc_jax.interop import originals, torch_waveglow
from evc_jax.interop.originals import HparamOverrides, convert
from evc_jax.interop.parity import relative_error, within
from evc_jax.interop.torch_names import from_torch, to_torch
from evc_jax.models import voice_encoder
from evc_jax.models.network import Network
from evc_jax.models.waveglow import WaveGlow, WaveGlowConfig
from evc_jax.models.waveglow_synthesis import noise_shapes, synthesise

torch = pytest.importorskip("torch", reason="needs the extra dev")
modules = pytest.importorskip("original_modules")
TOLERANCE = 1e-4
SPECS = {spec.system: spec for spec in originals.SPECS}


cached_network = functools.cache(Network)


@pytest.fixture(autouse=True)
def networks_are_built_once(monkeypatch):
    """Building one takes a second; many files here hold the same."""
    monkeypatch.setattr(originals, "Network", cached_network)


def golden(golden_dir, name):
    with np.load(golden_dir / name) as file:
        return {key: file[key] for key in file.files}


def network_of(converted):
    return cached_network(SPECS[converted.system].module, converted.config)


def run(converted, *inputs, **options):
    network = network_of(converted)
    return jax.jit(lambda params: network.apply(params, *inputs, **options))(converted.params)


def test_speechsplit(golden_dir):
    converted, known = convert(golden_dir / "speechsplit-G.ckpt"), golden(golden_dir, "speechsplit_generator.npz")
    assert converted.system == "speechsplit" and converted.ignored == ("optimizer", "encoder_1.len_org")
    inputs = known["mel"], known["f0_onehot"], known["speaker_embedding"]
    assert relative_error(run(converted, *inputs), known["mel_out"]) <= TOLERANCE
    codes = run(converted, *inputs[:2], method="encode")
    for name in ("content", "pitch", "rhythm"):
        assert relative_error(getattr(codes, name), known[f"codes_{name}"]) <= TOLERANCE


def test_f0_converter(golden_dir):
    converted, known = convert(golden_dir / "speechsplit-P.ckpt"), golden(golden_dir, "speechsplit_f0_converter.npz")
    assert converted.system == "f0_converter"
    assert relative_error(run(converted, known["mel"], known["f0_onehot"]), known["logits"]) <= TOLERANCE


def test_voicegan(golden_dir):
    converted, known = convert(golden_dir / "voicegan-1000000-G.ckpt"), golden(golden_dir, "voicegan.npz")
    assert converted.system == "voicegan" and converted.step == 1_000_000
    sexes = np.eye(2, dtype=np.float32)[known["labels"]]
    assert relative_error(run(converted, known["z"], sexes), known["fake"]) <= TOLERANCE


def test_codegan(golden_dir):
    known = golden(golden_dir, "codegan.npz")
    generator, critic = (convert(golden_dir / f"codegan-200000-{player}.ckpt") for player in "GD")
    assert generator.system == "codegan" and generator.options == {
        "emotions": ["angry", "happy", "sad", "neutral"], "code": "pitch_rhythm"
    }
    emotions = np.eye(4, dtype=np.float32)[known["target_labels"]]
    assert relative_error(run(generator, known["codes"], emotions), known["fake"]) <= TOLERANCE
    assert critic.system == "codegan_discriminator"
    verdict = run(critic, known["codes"])
    assert relative_error(verdict.source, known["src_real"]) <= TOLERANCE
    assert relative_error(verdict.classes, known["cls_real"]) <= TOLERANCE


def test_voicegan_discriminator(golden_dir, tmp_path):
    known = golden(golden_dir, "voicegan.npz")
    state = {name: torch.from_numpy(value) for name, value in within(known, "params_discriminator").items()}
    converted = convert(save(torch, state, tmp_path / "5000-D.ckpt"))
    assert (converted.system, converted.step) == ("voicegan_discriminator", 5000)
    assert relative_error(run(converted, known["real"]).classes, known["cls_real"]) <= TOLERANCE


def test_a_pickled_waveglow_has_the_golden_weights(golden_dir):
    converted, known = convert(golden_dir / "waveglow_128000"), golden(golden_dir, "waveglow.npz")
    assert (converted.system, converted.step) == ("waveglow", 128000)
    assert converted.ignored == ("iteration", "optimizer", "learning_rate")
    state = torch_waveglow.in_latest_form(within(known, "params"))
    assert torch_waveglow.waveglow_config(state, converted.config.upsample_stride) == converted.config
    params = from_torch(state, torch_waveglow.waveglow_weights(converted.config))
    jax.tree.map(np.testing.assert_array_equal, params, converted.params)


def waveglow_files(tmp_path):
    """One WaveGlow as it may have been saved, by form of weight norm, of file, and of type."""
    warnings.filterwarnings("ignore", message=".*weight_norm|Couldn't retrieve source code")
    torch.manual_seed(0)
    plain = modules.WaveGlow()
    state = {name: value.clone() for name, value in plain.state_dict().items()}

    def fresh(norm=None):
        model = modules.WaveGlow()
        model.load_state_dict(state)
        return model.apply_norm(norm) if norm else model

    with importable("glow", **modules.GLOW):
        for legacy in (False, True):
            kind = "stream" if legacy else "zip"
            normed = fresh(torch.nn.utils.weight_norm)
            yield save(torch, {"model": normed, "iteration": 3}, tmp_path / f"module-{kind}", legacy)
            yield save(torch, {"model": fresh()}, tmp_path / f"removed-{kind}", legacy)
            yield save(torch, normed.state_dict(), tmp_path / f"state-{kind}", legacy)
    parametrized = fresh(torch.nn.utils.parametrizations.weight_norm)
    yield save(torch, parametrized.state_dict(), tmp_path / "parametrized")
    parallel = {f"module.{name}": value for name, value in state.items()}
    yield save(torch, {"state_dict": parallel}, tmp_path / "parallel")
    yield save(torch, {"model": {name: value.double() for name, value in state.items()}}, tmp_path / "double")
    yield save(torch, {"model": {name: value.bfloat16() for name, value in state.items()}}, tmp_path / "bfloat16")


def kernels(converted):
    """Kernels of the couplings' convolutions, whatever their norm and direction are."""
    return [
        leaf["direction"] * leaf["scale"] / np.sqrt((leaf["direction"] ** 2).sum((0, 1)))
        for leaf in jax.tree.leaves(converted.params["couplings"], is_leaf=lambda node: "direction" in node)
        if isinstance(leaf, dict)
    ]


def test_waveglow_in_every_form(tmp_path):
    first, *others = [(path.name, convert(path, HparamOverrides(hop_samples=32))) for path in waveglow_files(tmp_path)]
    assert first[1].config == WaveGlowConfig(4, 3, 8, 2, 2, 2, 6, 3, 64, 32)
    assert len(kernels(first[1])) == 3 * 6
    rng = np.random.default_rng(0)
    noise = tuple(rng.standard_normal(shape).astype(np.float32) for shape in noise_shapes(first[1].config, 1, 5))
    mel = rng.standard_normal((1, 5, 4)).astype(np.float32)
    network = network_of(first[1])
    weights = jax.jit(functools.partial(network.apply, method="synthesis_weights"))
    synthesis = jax.jit(lambda weights, *inputs: synthesise(weights, network.config, *inputs))

    def speak(params):
        return synthesis(weights(params), mel, noise)

    expected = speak(first[1].params)
    for name, converted in others:
        assert converted.config == first[1].config, name
        tolerance = 0.02 if name == "bfloat16" else 1e-6
        for ours, theirs in zip(kernels(first[1]), kernels(converted), strict=True):
            assert relative_error(theirs, ours) <= tolerance, name
        assert relative_error(speak(converted.params), expected) <= (0.2 if name == "bfloat16" else 1e-5), name
    # A whole module tells its hop, a state dict does not.
    assert convert(tmp_path / "module-zip").config.upsample_stride == 32
    with pytest.raises(ConfigError, match="state-zip .*upsample_kernel is 64; expected at least upsample_stride, 256"):
        convert(tmp_path / "state-zip")


@pytest.mark.parametrize("norm", [None, "all", "some", "parametrized"])
def test_waveglow_with_one_condition_for_every_layer(tmp_path, norm):
    """NVIDIA's older form has a cond_layer for each layer: slices of the channels of the later one."""
    warnings.filterwarnings("ignore", message=".*weight_norm")
    torch.manual_seed(0)
    model, overrides = modules.WaveGlow(layers=3), HparamOverrides(hop_samples=32)
    expected = convert(save(torch, model.state_dict(), tmp_path / "new.pt"), overrides)
    for coupling in model.WN:
        whole = coupling.cond_layer
        layers = [torch.nn.Conv1d(whole.in_channels, 2 * coupling.n_channels, 1) for _ in range(coupling.n_layers)]
        for layer, weight, bias in zip(layers, whole.weight.chunk(3), whole.bias.chunk(3), strict=True):
            layer.weight.data, layer.bias.data = weight.detach().clone(), bias.detach().clone()
        del coupling.cond_layer
        coupling.cond_layers = torch.nn.ModuleList(layers)
        for layer in {"all": layers, "some": layers[1:2], "parametrized": layers}.get(norm, []):
            kind = torch.nn.utils.parametrizations if norm == "parametrized" else torch.nn.utils
            kind.weight_norm(layer)
    state = model.state_dict()
    converted = convert(save(torch, state, tmp_path / "old.pt"), overrides)
    assert converted.config == expected.config
    same = functools.partial(np.testing.assert_allclose, rtol=1e-6)
    jax.tree.map(same, converted.params, expected.params)
    lost = {name: value for name, value in state.items() if ".cond_layers.1." not in name}
    with pytest.raises(CheckpointError, match="cond_layers, of which WN.0.cond_layer.* is made, do not fit"):
        convert(save(torch, lost, tmp_path / "lost.pt"), overrides)


def test_waveglow_whose_groups_do_not_divide_the_hop(tmp_path):
    model = modules.WaveGlow(group=12, early_every=2)
    converted = convert(save(torch, model.state_dict(), tmp_path / "w.pt"), HparamOverrides(hop_samples=32))
    assert converted.config.group_samples == 12
    np.testing.assert_array_equal(converted.params["upsample"]["bias"], model.upsample.bias.detach().numpy())


def test_a_filter_of_zeros_stays_one(tmp_path):
    model = modules.WaveGlow()
    model.WN[0].start.weight.data[0] = 0
    converted = convert(save(torch, model.state_dict(), tmp_path / "w.pt"), HparamOverrides(hop_samples=32))
    assert all(np.isfinite(kernel).all() for kernel in kernels(converted))
    start = converted.params["couplings"]["0"]["start"]
    assert start["scale"][0] == 0 and np.abs(start["direction"][..., 0]).min() > 0


@pytest.mark.parametrize("normed", [True, False])
def test_nvidias_universal_model(tmp_path, normed):
    warnings.filterwarnings("ignore", message=".*weight_norm|Couldn't retrieve source code")
    with importable("glow", **modules.GLOW):
        model = modules.WaveGlow(bands=80)
        model = model.apply_norm(torch.nn.utils.weight_norm) if normed else model
        model._backend = None
        path = save(torch, {"model": model}, tmp_path / "waveglow_256channels_universal_v5.pt", legacy=True)
    converted = convert(path)
    settings = converted.audio
    assert (settings.sample_rate_hz, settings.mel_min_hz, settings.mel_max_hz) == (22050, 0, 8000)
    assert (settings.mel_bands, settings.hop_samples) == (80, 32)
    assert convert(path, HparamOverrides(audio="speechsplit")).audio.sample_rate_hz == 16000
    path.rename(tmp_path / "mine.pt")
    assert convert(tmp_path / "mine.pt").audio.sample_rate_hz == 16000
    assert convert(tmp_path / "mine.pt", HparamOverrides(audio="nvidia")).audio == settings


@pytest.mark.slow
def test_nvidias_model_at_its_full_size():
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in modules.WaveGlow(
            bands=80, flows=12, early_every=4, layers=8, width=256, kernel=1024, stride=256
        ).state_dict().items()}  # fmt: skip
    state = {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}
    state = torch_waveglow.in_latest_form(state)
    config = torch_waveglow.waveglow_config(state, 256)
    assert config == WaveGlowConfig()
    network = Network(WaveGlow, config)
    all_shapes = network.shapes()
    for weight in torch_waveglow.waveglow_weights(config):
        expected = all_shapes
        for key in weight.path:
            expected = expected[key]
        assert weight.layout.ours(state[weight.name]).shape == expected.shape, weight.name
    noise = tuple(jax.ShapeDtypeStruct(shape, np.float32) for shape in noise_shapes(config, 1, 4))
    mel = jax.ShapeDtypeStruct((1, 4, 80), np.float32)
    weights = jax.eval_shape(lambda params: network.apply(params, method="synthesis_weights"), network.shapes())
    sound = jax.eval_shape(lambda w, m, z: synthesise(w, config, m, z), weights, mel, noise)
    assert sound.shape == (1, 4 * 256) and network.count() > 87e6


def test_nvidias_mel(data_dir):
    """Natural logarithm of magnitudes; the lowest two bands lose the recording's offset to the high-pass."""
    config = originals.NVIDIA_AUDIO
    samples = audio.load(next(iter(sorted(data_dir.rglob("LJ*.flac")))), 22050)
    frames = audio.frame(samples, 1024, 256)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    magnitude = np.abs(np.fft.rfft(frames * window, axis=1)) @ audio.mel_filters(config).T
    expected = np.log(np.maximum(magnitude, 1e-5))
    error = np.abs(audio.log_mel(samples, config) - expected)
    assert error[:, 2:].max() < 0.05 and error.mean() < 0.02


def test_resemblyzer(tmp_path):
    torch.manual_seed(0)
    model = modules.VoiceEncoder()
    optimizer = torch.optim.Adam(model.parameters())
    content = {"step": 1564501, "model_state": model.state_dict(), "optimizer_state": optimizer.state_dict()}
    converted = convert(save(torch, content, tmp_path / "pretrained.pt", legacy=True))
    assert (converted.system, converted.step) == ("voice_encoder", 1564501)
    assert converted.ignored == ("step", "optimizer_state", "similarity_bias", "similarity_weight")
    mel = np.random.default_rng(0).uniform(0, 0.1, (2, 9, 40)).astype(np.float32)
    expected = model(torch.from_numpy(mel)).detach().numpy()
    assert relative_error(run(converted, mel), expected) <= TOLERANCE


def test_the_real_resemblyzer_is_what_is_shipped():
    package = importlib.util.find_spec("resemblyzer")
    if package is None:
        pytest.skip("resemblyzer is not installed")
    converted = convert(Path(package.origin).parent / "pretrained.pt")
    shipped = voice_encoder.load_params(speaker.WEIGHTS)
    jax.tree.map(np.testing.assert_array_equal, shipped, converted.params)


@pytest.fixture(scope="module")
def speechsplit_state():
    """A state dict of a small SpeechSplit."""
    from evc_jax.interop.torch_speechsplit import speechsplit_weights
    from evc_jax.models.speechsplit import EncoderConfig, SpeechSplit, SpeechSplitConfig

    encoder = EncoderConfig(16, 1, blocks=1)
    config = SpeechSplitConfig(encoder, encoder, encoder, 5, 7, 4, 6, 1)
    shapes = Network(SpeechSplit, config).shapes()
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), shapes)
    state = to_torch(params, speechsplit_weights(config))
    tensors = {name: torch.from_numpy(value.copy()) for name, value in state.items()}
    return tensors | {"encoder_1.len_org": torch.tensor(160)}


def test_what_shapes_do_not_tell(tmp_path, speechsplit_state):
    path = save(torch, {"model": speechsplit_state}, tmp_path / "660000-G.ckpt")
    assert convert(path).config.resampling.padded_frames == 160 and convert(path).step == 660000
    hparams = {"freq": 4, "freq_2": 16, "chs_grp": 8, "max_len_pad": 128}
    config = convert(path, HparamOverrides(hparams)).config
    assert (config.content.factor, config.rhythm.factor, config.pitch.factor) == (4, 16, 8)
    assert config.group_channels == 8 and config.resampling.padded_frames == 128
    with pytest.raises(ConfigError, match="hparam dim_neck is not one that shapes hide; expected freq, freq_2"):
        convert(path, HparamOverrides({"dim_neck": 8}))
    with pytest.raises(ConfigError, match=r"660000-G.ckpt \(SpeechSplit's autoencoder\): An encoder width of 16"):
        convert(path, HparamOverrides({"chs_grp": 32}))


def test_whole_modules_of_any_network(tmp_path, speechsplit_state):
    model = nested_module(torch, {name: value.numpy() for name, value in speechsplit_state.items()})
    for legacy in (False, True):
        converted = convert(save(torch, model, tmp_path / f"whole-{legacy}.pt", legacy))
        assert converted.system == "speechsplit" and "encoder_1.len_org" in converted.ignored


def test_states_that_are_wrong(tmp_path, speechsplit_state):
    name, bias = "decoder.lstm.weight_hh_l0", "decoder.lstm.bias_hh_l0"
    weight = speechsplit_state[name]
    cases = [
        ({"extra.weight": weight, "extra.bias": weight}, "holds 2 tensors .* not know .extra.bias, extra.weight."),
        ({name: None}, f"has no tensor {name}; it is not one of this network"),
        ({bias: speechsplit_state[bias][:-1]}, f"the tensor {bias} has shape .23., which does not fit the others'"),
        ({name: weight[0]}, f"{name} has shape .6., expected 2 axes"),
        ({bias: weight}, "does not fit the others'"),
        ({name: weight * np.nan}, f"holds weights that are no finite numbers .{name}."),
        ({name: weight.long()}, f"holds weights that are no finite numbers .{name}."),
        ({"encoder_1.convolutions_1.0.0.conv.weight": torch.zeros(3)}, "expected 3 axes"),
    ]
    for changes, message in cases:
        state = {key: value for key, value in (speechsplit_state | changes).items() if value is not None}
        with pytest.raises(CheckpointError, match=message) as caught:
            convert(save(torch, state, tmp_path / "wrong.pt"))
        assert str(caught.value).startswith(str(tmp_path / "wrong.pt"))
    for content, message in [
        ({"w": weight}, "holds none of the networks that are known; its tensors are w"),
        ({"model": {}, "optimizer": {}}, "holds no state dict, neither as it is nor under model"),
        ({"model": {"w": "text"}}, "holds no state dict"),
        ([weight], "holds no state dict"),
        ({"model": {3: weight}}, "holds tensors without names"),
        ({"WN.0.res_layers.0.weight": weight, "upsample.weight": weight, "convinv.0.conv.weight": weight},
         "WaveGlow of NVIDIA's first form"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            convert(save(torch, content, tmp_path / "wrong.pt"))


def test_emotions_have_names(golden_dir):
    path = golden_dir / "codegan-200000-G.ckpt"
    named = convert(path, HparamOverrides(emotions=("a", "b", "c", "d"), code="pitch"))
    assert named.options == {"emotions": ["a", "b", "c", "d"], "code": "pitch"}
    with pytest.raises(ConfigError, match="it knows 4 emotions and 2 are named; name them in the order"):
        convert(path, HparamOverrides(emotions=("a", "b")))


def test_random_states(tmp_path, golden_dir, speechsplit_state):
    """Tensors renamed, lost, cut, turned or moved: a sentence or a network, nothing else."""
    voice = {f"main.{i}.{kind}": torch.zeros(4, 4) if kind == "weight" else torch.zeros(4)
             for i in (0, 2, 4) for kind in ("weight", "bias")}  # fmt: skip
    states = [speechsplit_state, voice, modules.WaveGlow().state_dict(), modules.VoiceEncoder().state_dict()]
    states += [{f"main.0.{i}": torch.zeros(4, 2, 3) for i in ("0.weight", "3.weight", "0.bias")}]
    rng, outcomes = np.random.default_rng(0), {"converted": 0, "refused": 0}
    for round_ in range(60):
        state = dict(states[round_ % len(states)])
        for name in rng.choice(list(state), rng.integers(0, 3), replace=False):
            value = state.pop(name)
            change = rng.integers(5)
            if change == 0:
                state[name.replace("0", str(rng.integers(5)), 1)] = value
            elif change == 1:
                state[name] = value.flatten()[: rng.integers(1, 4)]
            elif change == 2:
                state[name] = value.T.contiguous() if value.dim() == 2 else value[None]
            elif change == 3:
                state[rng.choice(["main.999.weight", "src.weight", "cls.weight", "WN.7.start.weight"])] = value
        try:
            convert(save(torch, state, tmp_path / "f.pt", legacy=True), HparamOverrides(hop_samples=32))
            outcomes["converted"] += 1
        except EvcError as error:
            outcomes["refused"] += 1
            assert "\n" not in str(error)
    assert outcomes["converted"] >= 3 and outcomes["refused"] >= 20
