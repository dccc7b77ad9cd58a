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
from evc_jax.models.waveglow.synthesis import draw_noise, noise_shapes, synthesize

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
    assert little < much / 3
    for actual, expected in zip(jax.tree.leaves(again), jax.tree.leaves(kept), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


def test_starts_with_couplings_that_do_nothing(network, apply, mel):
    output = apply(network.init(jax.random.key(0)), jnp.ones((2, 64)), mel)
    np.testing.assert_array_equal(output.log_s_sum, 0)
    np.testing.assert_allclose(output.log_det_w, 0, atol=1e-4)


@pytest.mark.parametrize("frames", [1, 4])
def test_lengths(speak, params, frames):
    noise = draw_noise(jax.random.key(0), TINY, 3, frames)
    assert noise_shapes(TINY, 3, frames) == ((3, 2 * frames, 6), (3, 2 * frames, 2))
    assert tuple(part.shape for part in noise) == noise_shapes(TINY, 3, frames)
    audio = speak(params, jnp.zeros((3, frames, TINY.mel_bands)), noise, 0.5)
    assert audio.shape == (3, frames * TINY.upsample_stride)


def test_incomplete_groups_are_left_out(apply, params, mel):
    audio = jax.random.normal(jax.random.key(5), (2, 35))
    assert apply(params, audio, mel).z.shape == (2, 4, 8)


def test_refuses_too_little_mel(apply, params, mel):
    with pytest.raises(ConfigError, match="The audio has 400 samples, but 5 mel frames only reach 96"):
        apply(params, jnp.zeros((2, 400)), mel)


def test_full_size():
    assert round(Network(WaveGlow, WaveGlowConfig()).count() / 1e6, 1) == 87.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"group_samples": 7}, "both must be even"),
        ({"group_samples": 6}, "must divide upsample_stride, 16"),
        ({"flows": 9}, "leave none of 8"),
        ({"wn_kernel": 2}, "wn_kernel is 2; use an odd number"),
        ({"upsample_kernel": 8}, "expected at least upsample_stride, 16"),
        ({"wn_layers": 0}, "wn_layers is 0; expected at least 1"),
    ],
)
def test_config_errors(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TINY, **change)
