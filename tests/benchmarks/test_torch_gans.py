"""The PyTorch training step that ours is timed against computes the same losses and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.tiny_gans import CODE, VOICE

from evc_jax.models.gan import losses as gan_losses
from evc_jax.models.gan.codegan import CodeDiscriminator, CodeGenerator
from evc_jax.models.gan.voicegan import VoiceDiscriminator, VoiceGenerator
from evc_jax.models.network import Network
from evc_jax.torch_import import torch_gans
from evc_jax.torch_import.torch_names import to_torch
from evc_jax.training.config import OptimizerConfig

pytestmark = [pytest.mark.slow, pytest.mark.release]

torch = pytest.importorskip("torch")
BATCH, FRAMES = 4, 8
LABELS, TARGETS = np.array([0, 1, 1, 0]), np.array([1, 0, 0, 1])
CLASS_WEIGHTS = np.array([1.0, 0.5, 2.0], np.float32)


@pytest.fixture(scope="module")
def plain():
    from benchmarks import torch_gans

    return torch_gans


def _players(networks, torch_players, config, weights):
    """Ours with their parameters, and PyTorch's with the same."""
    nets = gan_losses.GanNetworks(*(Network(network, config) for network in networks))
    params = nets.generator.init(jax.random.key(0)), nets.discriminator.init(jax.random.key(1))
    for player, tree, listed in zip(torch_players, params, weights, strict=True):
        player.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in to_torch(tree, listed(config)).items()})
    return nets, *params


def _assert_same_gradients(grads, player, listed):
    expected = {name: parameter.grad.numpy() for name, parameter in player.named_parameters()}
    for name, value in to_torch(grads, listed).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-5, err_msg=name)


def _compare(training, samples, critic, generator, g_params, d_params, weights):
    """One step's losses and the gradients that it leaves: of the critic before its update, of the generator after."""
    (d_loss, _), d_grads = jax.jit(jax.value_and_grad(critic, has_aux=True))(d_params, g_params)
    losses = training.critic_loss(training.generator, training.discriminator, samples)
    np.testing.assert_allclose(losses["d_loss"].item(), d_loss, rtol=1e-5)
    losses["d_loss"].backward()
    _assert_same_gradients(d_grads, training.discriminator, weights[1])
    (g_loss, _), g_grads = jax.jit(jax.value_and_grad(generator, has_aux=True))(g_params, d_params)
    losses = training.generator_loss(training.generator, training.discriminator, samples)
    np.testing.assert_allclose(losses["g_loss"].item(), g_loss, rtol=1e-5)
    losses["g_loss"].backward()
    _assert_same_gradients(g_grads, training.generator, weights[0])


def _tensors(arrays):
    return {name: torch.from_numpy(value) for name, value in arrays.items()}


def test_voicegan(plain):
    draw, players = np.random.default_rng(0), (plain.VoiceGenerator(VOICE), plain.VoiceDiscriminator(VOICE))
    weights = torch_gans.voice_generator_weights, torch_gans.voice_discriminator_weights
    nets, g_params, d_params = _players((VoiceGenerator, VoiceDiscriminator), players, VOICE, weights)
    shapes = {"embedding": (BATCH, 6), "noise": (BATCH, 5), "alpha": (BATCH,)}
    arrays = [draw.random(shape, np.float32) for shape in shapes.values()]
    samples = _tensors(dict(zip(shapes, arrays, strict=True)) | {"sex": LABELS})
    (real, noise, alpha), sexes = map(jnp.asarray, arrays), jnp.asarray(LABELS)
    training = plain.Training(*players, *plain.voicegan_losses(gan_losses.VOICEGAN_WEIGHTS), OptimizerConfig(), 0.9)
    _compare(
        training,
        samples,
        lambda d, g: gan_losses.critic_loss(
            lambda x: nets.discriminator.apply(d, x),
            real,
            sexes,
            gan_losses.voices(nets, g, noise, sexes),
            alpha,
            gan_losses.VOICEGAN_WEIGHTS,
        ),
        lambda g, d: gan_losses.voicegan_generator_loss(nets, g, d, noise, sexes),
        g_params,
        d_params,
        [listed(VOICE) for listed in weights],
    )


def test_codegan(plain):
    draw, players = np.random.default_rng(0), (plain.CodeGenerator(CODE), plain.CodeDiscriminator(CODE))
    weights = torch_gans.code_generator_weights, torch_gans.code_discriminator_weights
    nets, g_params, d_params = _players((CodeGenerator, CodeDiscriminator), players, CODE, weights)
    codes, alpha = draw.standard_normal((BATCH, FRAMES, 6), np.float32), draw.random(BATCH, np.float32)
    samples = {"codes": codes.swapaxes(1, 2).copy(), "alpha": alpha, "emotion": LABELS, "target": TARGETS}
    codes, alpha, labels, targets = map(jnp.asarray, (codes, alpha, LABELS, TARGETS))
    label_weights, target_weights = (
        gan_losses.sample_weights(jnp.asarray(CLASS_WEIGHTS), of) for of in (labels, targets)
    )
    losses = plain.codegan_losses(gan_losses.CODEGAN_WEIGHTS, torch.from_numpy(CLASS_WEIGHTS))
    _compare(
        plain.Training(*players, *losses, OptimizerConfig(), 0.9),
        _tensors(samples),
        lambda d, g: gan_losses.critic_loss(
            lambda x: nets.discriminator.apply(d, x),
            codes,
            labels,
            gan_losses.converted(nets, g, codes, targets),
            alpha,
            gan_losses.CODEGAN_WEIGHTS,
            label_weights,
        ),
        lambda g, d: gan_losses.codegan_generator_loss(nets, g, d, codes, labels, targets, target_weights),
        g_params,
        d_params,
        [listed(CODE) for listed in weights],
    )


def test_a_step_moves_both_players_and_the_average_less(plain):
    players = plain.VoiceGenerator(VOICE), plain.VoiceDiscriminator(VOICE)
    before = [[p.detach().clone() for p in player.parameters()] for player in players]
    training = plain.Training(*players, *plain.voicegan_losses(gan_losses.VOICEGAN_WEIGHTS), OptimizerConfig(), 0.9)
    embedding = np.random.default_rng(0).random((BATCH, 5, 6), np.float32)
    updates = plain.updates({"embedding": embedding, "sex": np.stack([LABELS] * 5, axis=1)}, "cpu")
    assert len(updates) == 5 and np.array_equal(updates[1]["embedding"], embedding[:, 1])
    losses = training.step(plain.draw(updates, VOICE))
    assert set(losses) == {"d_loss", "g_loss"}
    for player, old in zip(players, before, strict=True):
        assert any((p != o).any() for p, o in zip(player.parameters(), old, strict=True))
    for average, new, old in zip(training.average.parameters(), players[0].parameters(), before[0], strict=True):
        torch.testing.assert_close(average, old + 0.1 * (new - old))
