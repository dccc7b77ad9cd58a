"""Checkpoints of the originals become networks that compute what the originals computed."""

import functools
import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest
from support.torch_files import save

from evc_jax.audio import io as audio_io
from evc_jax.audio.mel import frame_signal, log_mel, mel_filters
from evc_jax.errors import CheckpointError, ConfigError, EvcError
from evc_jax.features import speaker
from evc_jax.models import voice_encoder
from evc_jax.models.network import Network
from evc_jax.models.speechsplit.config import EncoderConfig, SpeechSplitConfig
from evc_jax.models.speechsplit.random_resampling import ResamplingConfig
from evc_jax.torch_import import originals, torch_waveglow
from evc_jax.torch_import.originals import HparamOverrides, convert
from evc_jax.torch_import.parity import relative_error, within
from evc_jax.torch_import.torch_names import from_torch

torch = pytest.importorskip("torch", reason="needs the extra dev")
modules = pytest.importorskip("support.original_modules")
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
    generator = convert(golden_dir / "codegan-200000-G.ckpt")
    assert generator.system == "codegan" and generator.options == {
        "emotions": ["angry", "happy", "sad", "neutral"],
        "code": "pitch_rhythm",
    }
    emotions = np.eye(4, dtype=np.float32)[known["target_labels"]]
    assert relative_error(run(generator, known["codes"], emotions), known["fake"]) <= TOLERANCE
    with pytest.raises(CheckpointError, match="holds none of the networks that are known"):
        convert(golden_dir / "codegan-200000-D.ckpt")


def test_a_pickled_waveglow_has_the_golden_weights(golden_dir):
    converted, known = convert(golden_dir / "waveglow_128000"), golden(golden_dir, "waveglow.npz")
    assert (converted.system, converted.step) == ("waveglow", 128000)
    assert converted.ignored == ("iteration", "optimizer", "learning_rate")
    state = torch_waveglow.in_latest_form(within(known, "params"))
    assert torch_waveglow.waveglow_config(state, converted.config.upsample_stride) == converted.config
    params = from_torch(state, torch_waveglow.waveglow_weights(converted.config))
    jax.tree.map(np.testing.assert_array_equal, params, converted.params)


def test_nvidias_mel(data_dir):
    """Natural logarithm of magnitudes; the lowest two bands lose the recording's offset to the high-pass."""
    config = originals.NVIDIA_AUDIO
    samples = audio_io.load(next(iter(sorted(data_dir.rglob("LJ*.flac")))), 22050)
    frames = frame_signal(samples, 1024, 256)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    magnitude = np.abs(np.fft.rfft(frames * window, axis=1)) @ mel_filters(config).T
    expected = np.log(np.maximum(magnitude, 1e-5))
    error = np.abs(log_mel(samples, config) - expected)
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
def speechsplit():
    """A small SpeechSplit."""
    from benchmarks.torch_speechsplit import SpeechSplit

    encoder = EncoderConfig(16, 1, blocks=1)
    parts = {"content": encoder, "rhythm": encoder, "pitch": encoder, "resampling": ResamplingConfig(padded_frames=160)}
    sizes = {"mel_bands": 5, "f0_classes": 7, "embedding_channels": 4, "decoder_width": 6, "decoder_layers": 1}
    torch.manual_seed(0)
    return SpeechSplit(SpeechSplitConfig(**parts, **sizes))


@pytest.fixture(scope="module")
def speechsplit_state(speechsplit):
    """Its state dict."""
    return speechsplit.state_dict()


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


def test_whole_modules_of_any_network(tmp_path, speechsplit):
    for legacy in (False, True):
        converted = convert(save(torch, speechsplit, tmp_path / f"whole-{legacy}.pt", legacy))
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
        (
            {"WN.0.res_layers.0.weight": weight, "upsample.weight": weight, "convinv.0.conv.weight": weight},
            "WaveGlow of NVIDIA's first form",
        ),
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
    states = [speechsplit_state, voice, modules.waveglow().state_dict(), modules.VoiceEncoder().state_dict()]
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
