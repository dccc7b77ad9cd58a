"""WaveGlow: exact inversion, the log-determinant against a Jacobian, lengths, errors, size."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evc_jax.errors import ConfigError
from evc_jax.models.network import Network
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.network import WaveGlow, waveglow_loss
from evc_jax.models.waveglow.synthesis import noise_shapes, synthesize
from evc_jax.torch_import import torch_waveglow
from evc_jax.torch_import.torch_names import to_torch

TINY = WaveGlowConfig(
    mel_bands=3,
    flows=4,
    group_samples=8,
    early_every=2,
    early_channels=2,
    wn_layers=2,
    wn_channels=4,
    upsample_kernel=32,
    upsample_stride=16,
)
FRAMES = 5


@pytest.fixture(scope="module")
def network():
    return Network(WaveGlow, TINY)


@pytest.fixture(scope="module")
def apply(network):
    return jax.jit(network.apply, static_argnames="method")


@pytest.fixture(scope="module")
def params(network):
    """Couplings start as the identity; noise on every weight makes them do something."""
    leaves, tree = jax.tree.flatten(network.init(jax.random.key(0)))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, moved)


@pytest.fixture(scope="module")
def speak(apply):
    synthesis = jax.jit(lambda weights, *inputs: synthesize(weights, TINY, *inputs))
    return lambda params, *inputs: synthesis(apply(params, method="synthesis_weights"), *inputs)


@pytest.fixture(scope="module")
def mel():
    return jax.random.uniform(jax.random.key(2), (2, FRAMES, TINY.mel_bands))


def test_synthesis_inverts_analysis(apply, speak, params, mel):
    audio = 0.3 * jax.random.normal(jax.random.key(3), (2, FRAMES * TINY.upsample_stride))
    z = apply(params, audio, mel).z
    # Channels leave first in the order of z; synthesis takes what left last first.
    noise = (z[..., 2:], z[..., :2])
    np.testing.assert_allclose(speak(params, mel, noise), audio, atol=1e-4)


def test_log_determinant_is_the_jacobians(apply, params, mel):
    samples = 16

    def latent(audio):
        return apply(params, audio[None], mel[:1]).z.reshape(-1)

    audio = 0.3 * jax.random.normal(jax.random.key(4), (samples,))
    jacobian = jax.jit(jax.jacrev(latent))(audio)
    output = apply(params, audio[None], mel[:1])
    expected = np.linalg.slogdet(np.asarray(jacobian, np.float64))[1]
    np.testing.assert_allclose(output.log_s_sum.sum() + output.log_det_w.sum(), expected, rtol=1e-4)


def test_loss_is_the_negative_log_likelihood(apply, params, mel):
    output = apply(params, jnp.zeros((2, 64)), mel)
    log_likelihood = -0.5 * jnp.sum(output.z**2) / 4.0 + output.log_s_sum.sum() + output.log_det_w.sum()
    np.testing.assert_allclose(waveglow_loss(output, sigma=2.0), -log_likelihood / output.z.size, rtol=1e-5)


def test_rematerialising_keeps_less_but_changes_no_gradient(network, params, mel):
    mel = jnp.tile(mel, (1, 20, 1))
    audio = 0.3 * jax.random.normal(jax.random.key(5), (2, mel.shape[1] * TINY.upsample_stride))

    def gradients(remat):
        def loss(params):
            return waveglow_loss(network.apply(params, audio, mel, remat=remat))

        value, pull = jax.jit(lambda params: jax.vjp(loss, params))(params)
        return jax.jit(pull)(jnp.ones_like(value)), sum(leaf.nbytes for leaf in jax.tree.leaves(pull))

    (kept, much), (again, little) = gradients(False), gradients(True)
    assert little < much / 2
    for actual, expected in zip(jax.tree.leaves(again), jax.tree.leaves(kept), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


def test_starts_with_couplings_that_do_nothing(network, apply, mel):
    output = apply(network.init(jax.random.key(0)), jnp.ones((2, 64)), mel)
    np.testing.assert_array_equal(output.log_s_sum, 0)
    np.testing.assert_allclose(output.log_det_w, 0, atol=1e-4)


def draw_noise(key, config, batch, frames):
    return tuple(jax.random.normal(key, shape) for shape in noise_shapes(config, batch, frames))


@pytest.mark.parametrize("frames", [1, 4])
def test_lengths(speak, params, frames):
    noise = draw_noise(jax.random.key(0), TINY, 3, frames)
    assert noise_shapes(TINY, 3, frames) == ((3, 2 * frames, 6), (3, 2 * frames, 2))
    audio = speak(params, jnp.zeros((3, frames, TINY.mel_bands)), noise, 0.5)
    assert audio.shape == (3, frames * TINY.upsample_stride)


def test_incomplete_groups_are_left_out(apply, params, mel):
    audio = jax.random.normal(jax.random.key(5), (2, 35))
    assert apply(params, audio, mel).z.shape == (2, 4, 8)


def test_refuses_too_little_mel(apply, params, mel):
    with pytest.raises(ConfigError, match="The audio has 400 samples, but 5 mel frames only reach 96"):
        apply(params, jnp.zeros((2, 400)), mel)


def original_synthesis(state, config, mel, noise):
    """NVIDIA's `infer`, restated: upsample, cut off the kernel's rest, unfold into groups, undo the flows."""
    import torch
    import torch.nn.functional as F

    def conv(x, name, **options):
        return F.conv1d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)

    def coupling(name, x, condition):
        width, condition = config.wn_channels, conv(condition, f"{name}.cond_layer")
        x, output = conv(x, f"{name}.start"), 0
        for i in range(config.wn_layers):
            dilation = 2**i
            dilated = conv(x, f"{name}.in_layers.{i}", dilation=dilation, padding=dilation * (config.wn_kernel // 2))
            signal, gate = (dilated + condition[:, 2 * width * i : 2 * width * (i + 1)]).chunk(2, 1)
            mixed = conv(signal.tanh() * gate.sigmoid(), f"{name}.res_skip_layers.{i}")
            x = x + mixed[:, :width] if i < config.wn_layers - 1 else x
            output = output + mixed[:, -width:]
        return conv(output, f"{name}.end").chunk(2, 1)

    group, stride = config.group_samples, config.upsample_stride
    condition = F.conv_transpose1d(mel, state["upsample.weight"], state["upsample.bias"], stride=stride)
    condition = condition[:, :, : -(config.upsample_kernel - stride)].unfold(2, group, group).permute(0, 2, 1, 3)
    condition = condition.reshape(*condition.shape[:2], -1).permute(0, 2, 1)
    audio, *early = noise
    for flow in reversed(range(config.flows)):
        kept, changed = audio.chunk(2, 1)
        bias, log_s = coupling(f"WN.{flow}", kept, condition)
        audio = torch.cat([kept, (changed - bias) / log_s.exp()], 1)
        audio = F.conv1d(audio, torch.linalg.inv(state[f"convinv.{flow}.conv.weight"][:, :, 0])[:, :, None])
        audio = torch.cat([early.pop(0), audio], 1) if config.leaves_early(flow) else audio
    return audio.permute(0, 2, 1).flatten(1)


@pytest.fixture(scope="module")
def uneven():
    """A network whose groups of 12 do not divide its hop of 16, with weights that do something."""
    config = dataclasses.replace(TINY, group_samples=12)
    network = Network(WaveGlow, config)
    leaves, tree = jax.tree.flatten(network.init(jax.random.key(0)))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return config, network, jax.tree.unflatten(tree, moved)


@pytest.mark.parametrize("frames", [1, 4, 6])
def test_uneven_groups_are_synthesized_as_by_the_original(uneven, frames):
    torch = pytest.importorskip("torch", reason="needs the extra dev")
    config, network, params = uneven
    mel, noise = jax.random.uniform(jax.random.key(2), (2, frames, 3)), draw_noise(jax.random.key(3), config, 2, frames)
    weights = network.apply(params, method="synthesis_weights")
    sound = jax.jit(lambda weights, *inputs: synthesize(weights, config, *inputs))(weights, mel, noise)
    state = to_torch(params, torch_waveglow.waveglow_weights(config))
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    for name in [name for name in tensors if name.endswith("weight_v")]:
        direction, size = tensors[name], tensors[name.replace("weight_v", "weight_g")]
        tensors[name[:-2]] = direction * size / direction.norm(dim=(1, 2), keepdim=True)
    theirs = [torch.from_numpy(np.array(part.swapaxes(1, 2))) for part in (mel, *noise)]
    expected = original_synthesis(tensors, config, theirs[0], theirs[1:])
    assert sound.shape == (2, frames * 16 // 12 * 12) == expected.shape
    np.testing.assert_allclose(sound, expected, atol=1e-4)


def test_uneven_groups_are_trained_and_inverted(uneven):
    config, network, params = uneven
    mel, audio = jax.random.uniform(jax.random.key(2), (2, 6, 3)), 0.3 * jax.random.normal(jax.random.key(3), (2, 96))
    loss, grads = jax.jit(jax.value_and_grad(lambda p: waveglow_loss(network.apply(p, audio, mel))))(params)
    assert np.isfinite(loss) and np.abs(grads["upsample"]["kernel"]).max() > 0
    z = network.apply(params, audio, mel).z
    weights = network.apply(params, method="synthesis_weights")
    again = synthesize(weights, config, mel, (z[..., 2:], z[..., :2]))
    np.testing.assert_allclose(again, audio, atol=1e-4)


def test_full_size():
    assert round(Network(WaveGlow, WaveGlowConfig()).count() / 1e6, 1) == 87.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group_samples": 7}, "both must be even"),
        ({"flows": 9}, "leave none of 8"),
        ({"wn_kernel": 2}, "wn_kernel is 2; use an odd number"),
        ({"upsample_kernel": 8}, "expected at least upsample_stride, 16"),
        ({"prior": "pink"}, "prior is 'pink'; use one of white, shaped"),
        ({"wn_layers": 0}, "wn_layers is 0; expected at least 1"),
    ],
)
def test_config_errors(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TINY, **change)
