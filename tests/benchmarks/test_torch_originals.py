"""The restatements of the originals in PyTorch compute, from the originals' checkpoints, what the originals did."""

import numpy as np
import pytest

from evc_jax.torch_import.original_states import read_state
from evc_jax.torch_import.originals import convert
from evc_jax.torch_import.parity import GRADIENT_FLOOR, GRADIENT_TOLERANCE, OUTPUT_TOLERANCE, relative_error, within
from evc_jax.torch_import.torch_reader import read_torch_file

torch = pytest.importorskip("torch", reason="needs the extra dev")

from benchmarks import torch_speechsplit, torch_waveglow  # noqa: E402


@pytest.fixture
def original(golden_dir):
    """Makes, of a checkpoint and a file of golden vectors, the network with its weights, and the vectors."""

    def make(checkpoint, vectors, module):
        path = golden_dir / checkpoint
        network = module(convert(path).config)
        state = read_state(read_torch_file(path)).values
        network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
        with np.load(golden_dir / vectors) as file:
            return network, dict(file)

    return make


def tensors(known, *names):
    return (torch.from_numpy(known[name]) for name in names)


def assert_same(ours, theirs):
    assert relative_error(ours.detach().numpy(), theirs) <= OUTPUT_TOLERANCE


def assert_same_gradients(network, loss, known):
    assert_same(loss, known["loss"])
    loss.backward()
    expected = within(known, "grads")
    floor = GRADIENT_FLOOR * max(float(np.abs(value).max()) for value in expected.values())
    gradients = {name: parameter.grad.numpy() for name, parameter in network.named_parameters()}
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        assert relative_error(gradient, expected[name], floor) <= GRADIENT_TOLERANCE, name


def test_speechsplit(original):
    network, known = original("speechsplit-G.ckpt", "speechsplit_generator.npz", torch_speechsplit.SpeechSplit)
    mel, f0, embedding = tensors(known, "mel", "f0_onehot", "speaker_embedding")
    both = torch.cat([mel, f0], dim=2)
    codes = dict(zip(("content", "pitch"), network.encoder_1(both.mT), strict=True)) | {"rhythm": network.rhythm(mel)}
    for name, code in codes.items():
        assert_same(code, known[f"codes_{name}"])
    output = network(both, mel, embedding)
    assert_same(output, known["mel_out"])
    assert_same_gradients(network, torch.nn.functional.mse_loss(output, mel), known)


def test_f0_converter(original):
    network, known = original("speechsplit-P.ckpt", "speechsplit_f0_converter.npz", torch_speechsplit.F0Converter)
    logits = network(*tensors(known, "mel", "f0_onehot"))
    assert_same(logits, known["logits"])
    (classes,) = tensors(known, "f0_index")
    assert_same_gradients(network, torch.nn.functional.cross_entropy(logits.mT, classes), known)


def test_random_resampling(golden_dir):
    with np.load(golden_dir / "speechsplit_random_resampling.npz") as known:
        inputs = tensors(known, "x", "lengths", "scales", "len_seg")
        assert_same(torch_speechsplit.random_resample(*inputs, torch_speechsplit.ResamplingConfig()), known["y"])


def test_waveglow(original):
    network, known = original(
        "waveglow_128000", "waveglow.npz", lambda config: torch_waveglow.WaveGlow(config).apply_norm()
    )
    mel, audio, *noise = tensors(known, "mel", "audio", *(f"infer_noise_{i}" for i in range(3)))
    z, log_s, log_det = output = network((mel, audio))
    assert_same(z, known["z"])
    assert_same(torch.stack([each.sum() for each in log_s]), known["log_s_sum"])
    # Orthonormal matrices have a log-determinant of zero give or take a rounding: the determinants can be compared.
    steps = z.shape[0] * z.shape[2]
    assert_same(torch.exp(torch.stack(log_det) / steps), np.exp(known["log_det_W"] / steps))
    assert_same_gradients(network, torch_waveglow.waveglow_loss(output), known)
    with torch.no_grad():
        assert_same(network.infer(mel, float(known["infer_sigma"]), noise), known["infer_audio"])
        assert_same(network.infer(mel, 0.0), known["infer_audio_sigma0"])
