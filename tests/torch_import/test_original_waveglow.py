"""A WaveGlow in every form in which it may have been saved becomes the same network."""

import functools
import warnings

import jax
import numpy as np
import pytest
from support.torch_files import importable, save

from evc_jax.errors import CheckpointError, ConfigError
from evc_jax.models.network import Network
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.network import WaveGlow
from evc_jax.models.waveglow.synthesis import noise_shapes, synthesize
from evc_jax.torch_import import torch_waveglow
from evc_jax.torch_import.originals import HparamOverrides, convert
from evc_jax.torch_import.parity import relative_error

torch = pytest.importorskip("torch", reason="needs the extra dev")
modules = pytest.importorskip("support.original_modules")


def waveglow_files(tmp_path):
    """One WaveGlow as it may have been saved, by form of weight norm, of file, and of type."""
    warnings.filterwarnings("ignore", message=".*weight_norm|Couldn't retrieve source code")
    torch.manual_seed(0)
    plain = modules.waveglow()
    state = {name: value.clone() for name, value in plain.state_dict().items()}

    def fresh(norm=None):
        model = modules.waveglow()
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
    network = Network(WaveGlow, first[1].config)
    weights = jax.jit(functools.partial(network.apply, method="synthesis_weights"))
    synthesis = jax.jit(lambda weights, *inputs: synthesize(weights, network.config, *inputs))

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
    model, overrides = modules.waveglow(wn_layers=3), HparamOverrides(hop_samples=32)
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
    model = modules.waveglow(group_samples=12)
    converted = convert(save(torch, model.state_dict(), tmp_path / "w.pt"), HparamOverrides(hop_samples=32))
    assert converted.config.group_samples == 12
    np.testing.assert_array_equal(converted.params["upsample"]["bias"], model.upsample.bias.detach().numpy())


def test_a_filter_of_zeros_stays_one(tmp_path):
    model = modules.waveglow()
    model.WN[0].start.weight.data[0] = 0
    converted = convert(save(torch, model.state_dict(), tmp_path / "w.pt"), HparamOverrides(hop_samples=32))
    assert all(np.isfinite(kernel).all() for kernel in kernels(converted))
    start = converted.params["couplings"]["0"]["start"]
    assert start["scale"][0] == 0 and np.abs(start["direction"][..., 0]).min() > 0


@pytest.mark.parametrize("normed", [True, False])
def test_nvidias_universal_model(tmp_path, normed):
    warnings.filterwarnings("ignore", message=".*weight_norm|Couldn't retrieve source code")
    with importable("glow", **modules.GLOW):
        model = modules.waveglow(mel_bands=80)
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
        shapes = {
            name: tuple(value.shape) for name, value in modules.GLOW["WaveGlow"](WaveGlowConfig()).state_dict().items()
        }
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
    sound = jax.eval_shape(lambda w, m, z: synthesize(w, config, m, z), weights, mel, noise)
    assert sound.shape == (1, 4 * 256) and network.count() > 87e6
