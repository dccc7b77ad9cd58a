"""Both GANs: lengths, defects of the original that stay mended, and losses that move one network only."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.tiny_gans import CODE, VOICE

from evc_jax.errors import ConfigError
from evc_jax.models.gan import losses as gan_losses
from evc_jax.models.gan.codegan import CodeDiscriminator, CodeGANConfig, CodeGenerator
from evc_jax.models.gan.voicegan import VoiceDiscriminator, VoiceGANConfig, VoiceGenerator
from evc_jax.models.network import Network

BATCH = 4
LABELS = jnp.array([0, 1, 2, 0])
TARGETS = jnp.array([1, 0, 0, 2])
SEXES = jnp.array([0, 1, 1, 0])


def build(generator, discriminator, config):
    nets = gan_losses.GanNetworks(Network(generator, config), Network(discriminator, config))
    return nets, nets.generator.init(jax.random.key(0)), nets.discriminator.init(jax.random.key(1))


@pytest.fixture(scope="module")
def voicegan():
    return build(VoiceGenerator, VoiceDiscriminator, VOICE)


@pytest.fixture(scope="module")
def codegan():
    return build(CodeGenerator, CodeDiscriminator, CODE)


def test_voices_are_unit_vectors(voicegan):
    nets, g_params, _ = voicegan
    noise = jax.random.normal(jax.random.key(2), (BATCH, 5))
    voices = nets.generator.apply(g_params, noise, jax.nn.one_hot(SEXES, 2))
    assert voices.min() >= 0
    np.testing.assert_allclose(jnp.linalg.norm(voices, axis=-1), 1.0, atol=1e-5)


def test_a_dead_voice_has_a_finite_gradient(voicegan):
    nets, g_params, _ = voicegan
    last = {"kernel": g_params["layers"]["1"]["kernel"] * 0, "bias": g_params["layers"]["1"]["bias"] * 0 - 1.0}
    dead = {"layers": {**g_params["layers"], "1": last}}
    noise, sex = jnp.ones((1, 5)), jnp.ones((1, 2))
    value, grads = jax.value_and_grad(lambda p: nets.generator.apply(p, noise, sex).sum())(dead)
    assert value == 0 and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7, 24, 25])
def test_code_generator_keeps_any_length(codegan, frames):
    nets, g_params, _ = codegan
    codes = jnp.ones((2, frames, 6))
    assert jax.eval_shape(nets.generator.apply, g_params, codes, jnp.eye(3)[:2]).shape == codes.shape


def test_padding_is_cut_again_and_otherwise_changes_nothing(codegan):
    """A length that the halvings do not divide is converted as if its last frame had been held."""
    nets, g_params, _ = codegan
    codes = jax.random.normal(jax.random.key(3), (2, 6, 6))
    held = jnp.concatenate([codes, codes[:, -1:], codes[:, -1:]], axis=1)
    convert = jax.jit(nets.generator.apply)
    emotions = jnp.eye(3)[:2]
    np.testing.assert_allclose(convert(g_params, codes, emotions), convert(g_params, held, emotions)[:, :6], atol=1e-6)


@pytest.mark.parametrize("frames", [4, 5, 24, 40])
def test_code_discriminator_takes_any_length(codegan, frames):
    nets, _, d_params = codegan
    output = jax.eval_shape(nets.discriminator.apply, d_params, jnp.ones((2, frames, 6)))
    assert output.source.shape == (2, 1) and output.classes.shape == (2, 3)


def test_code_discriminator_refuses_too_few_frames(codegan):
    nets, _, d_params = codegan
    with pytest.raises(ConfigError, match="The codes have 3 frames; the discriminator needs at least 4"):
        nets.discriminator.apply(d_params, jnp.ones((2, 3, 6)))


def test_conversion_depends_on_the_emotion(codegan):
    nets, g_params, _ = codegan
    codes = jnp.broadcast_to(jax.random.normal(jax.random.key(4), (1, 8, 6)), (2, 8, 6))
    first, second = jax.jit(nets.generator.apply)(g_params, codes, jnp.eye(3)[:2])
    assert np.abs(first - second).max() > 1e-4


def test_emotions_change_over_time(codegan):
    nets, g_params, _ = codegan
    convert = jax.jit(nets.generator.apply)
    codes, mixed = jax.random.normal(jax.random.key(8), (2, 22, 6)), jnp.array([[0.5, 0.2, 0.3], [0.0, 1.0, 0.0]])
    held = jnp.repeat(mixed[:, None], 22, axis=1)
    np.testing.assert_allclose(convert(g_params, codes, held), convert(g_params, codes, mixed), atol=1e-6)
    # The first residual block's frames stand for four frames of the codes; only their mean reaches it.
    late, later = (held.at[:, first:20].set(jnp.array([0.0, 0.0, 1.0])) for first in (16, 18))
    mean = late.at[:, 16:20].set(later[:, 16:20].mean(axis=1, keepdims=True))
    np.testing.assert_allclose(convert(g_params, codes, later), convert(g_params, codes, mean), atol=1e-6)
    assert np.abs(convert(g_params, codes, later) - convert(g_params, codes, late)).max() > 1e-4
    # Frames that are added to the codes have the last frame's weights.
    longer = jnp.concatenate([codes, codes[:, -1:], codes[:, -1:]], axis=1)
    ending = held.at[:, 20:].set(jnp.array([1.0, 0.0, 0.0]))
    same = convert(g_params, longer, jnp.concatenate([ending, ending[:, -2:]], axis=1))[:, :22]
    np.testing.assert_allclose(convert(g_params, codes, ending), same, atol=1e-6)


def test_residual_generator_starts_from_its_input(codegan):
    nets, g_params, _ = codegan
    residual = Network(CodeGenerator, dataclasses.replace(CODE, residual=True))
    codes, emotions = jax.random.normal(jax.random.key(4), (2, 8, 6)), jnp.eye(3)[:2]
    change = jax.jit(nets.generator.apply)(g_params, codes, emotions)
    np.testing.assert_allclose(jax.jit(residual.apply)(g_params, codes, emotions), codes + change, atol=1e-5)


def test_gradient_penalty_mixes_each_sample_with_its_own_partner():
    """Against a per-sample loop; the original mixed all pairs."""
    real, fake = jax.random.normal(jax.random.key(5), (2, BATCH, 6))
    alpha = jnp.array([0.0, 0.3, 0.6, 1.0])

    def critic(x):
        return jnp.sum(x**3, axis=-1, keepdims=True)

    norms = [np.linalg.norm(3 * (a * r + (1 - a) * f) ** 2) for a, r, f in zip(alpha, real, fake, strict=True)]
    expected = np.mean((np.array(norms) - 1) ** 2)
    np.testing.assert_allclose(gan_losses.gradient_penalty(critic, real, fake, alpha), expected, rtol=1e-5)


def test_gradient_penalty_of_a_flat_critic_is_finite():
    def penalty(slope):
        return gan_losses.gradient_penalty(
            lambda x: slope * x.sum(-1, keepdims=True), jnp.ones((2, 3)), jnp.zeros((2, 3)), jnp.zeros(2)
        )

    value, gradient = jax.value_and_grad(penalty)(0.0)
    assert value == 1.0 and np.isfinite(gradient)


def test_weighted_cross_entropy_is_a_weighted_mean():
    logits = jax.random.normal(jax.random.key(6), (BATCH, 3))
    weights = jnp.array([1.0, 2.0, 0.5])
    losses = np.array([gan_losses.cross_entropy(logits[i : i + 1], LABELS[i : i + 1]) for i in range(BATCH)])
    expected = np.average(losses, weights=weights[LABELS])
    actual = gan_losses.cross_entropy(logits, LABELS, gan_losses.sample_weights(weights, LABELS))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_cross_entropy_of_mixtures_is_the_mixture_of_cross_entropies():
    logits, share = jax.random.normal(jax.random.key(9), (BATCH, 3)), jnp.array([0.25, 1.0, 0.0, 0.5])
    mixed = share[:, None] * jnp.eye(3)[LABELS] + (1 - share)[:, None] * jnp.eye(3)[TARGETS]
    expected = jnp.mean(
        jnp.array(
            [
                share[i] * gan_losses.cross_entropy(logits[i : i + 1], LABELS[i : i + 1])
                + (1 - share[i]) * gan_losses.cross_entropy(logits[i : i + 1], TARGETS[i : i + 1])
                for i in range(BATCH)
            ]
        )
    )
    np.testing.assert_allclose(gan_losses.cross_entropy(logits, mixed), expected, rtol=1e-5)
    weights = jnp.array([1.0, 2.0, 0.5])
    mean = share * weights[LABELS] + (1 - share) * weights[TARGETS]
    np.testing.assert_allclose(gan_losses.sample_weights(weights, mixed), mean / mean.mean(), rtol=1e-6)
    assert gan_losses.accuracy(mixed[:3], mixed[:3]) == 1.0


def voice_losses(nets, d_params, g_params):
    noise, real = jnp.ones((BATCH, 5)), jnp.ones((BATCH, 6)) / 6**0.5
    alpha = jnp.linspace(0, 1, BATCH)
    fake = gan_losses.voices(nets, g_params, noise, 1 - SEXES)
    d_loss = gan_losses.critic_loss(
        lambda x: nets.discriminator.apply(d_params, x), real, SEXES, fake, alpha, gan_losses.VOICEGAN_WEIGHTS
    )
    return d_loss, gan_losses.voicegan_generator_loss(nets, g_params, d_params, noise, SEXES)


def code_losses(nets, d_params, g_params):
    codes = jax.random.normal(jax.random.key(7), (BATCH, 8, 6))
    alpha, balance = jnp.linspace(0, 1, BATCH), jnp.array([1.0, 0.5, 2.0])
    of_labels, of_targets = (gan_losses.sample_weights(balance, labels) for labels in (LABELS, TARGETS))
    fake = gan_losses.converted(nets, g_params, codes, TARGETS)
    d_loss = gan_losses.critic_loss(
        lambda x: nets.discriminator.apply(d_params, x),
        codes,
        LABELS,
        fake,
        alpha,
        gan_losses.CODEGAN_WEIGHTS,
        of_labels,
    )
    return d_loss, gan_losses.codegan_generator_loss(nets, g_params, d_params, codes, LABELS, TARGETS, of_targets)


@pytest.mark.parametrize(("name", "losses"), [("voicegan", voice_losses), ("codegan", code_losses)])
def test_the_discriminators_loss_has_no_gradient_for_the_generator(name, losses, request):
    nets, g_params, d_params = request.getfixturevalue(name)
    of_d, of_g = jax.jit(jax.grad(lambda d, g: losses(nets, d, g)[0][0], argnums=(0, 1)))(d_params, g_params)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(of_d)) > 0
    assert all(np.abs(leaf).max() == 0 for leaf in jax.tree.leaves(of_g))


@pytest.mark.parametrize(("name", "losses"), [("voicegan", voice_losses), ("codegan", code_losses)])
def test_losses_are_the_weighted_sums_of_their_metrics(name, losses, request):
    nets, g_params, d_params = request.getfixturevalue(name)
    weights = gan_losses.VOICEGAN_WEIGHTS if name == "voicegan" else gan_losses.CODEGAN_WEIGHTS
    (d_loss, d), (g_loss, g) = jax.jit(lambda d, g: losses(nets, d, g))(d_params, g_params)
    expected = -d["wasserstein"] + weights.classification * d["real_classification"]
    np.testing.assert_allclose(d_loss, expected + weights.gradient_penalty * d["gradient_penalty"], rtol=1e-5)
    expected = -g["fake_source"] + weights.classification * g["fake_classification"]
    np.testing.assert_allclose(g_loss, expected + weights.reconstruction * g.get("reconstruction", 0.0), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"code_channels": 5}, "discriminator_groups has 2 for a layer of 5 to 4 channels"),
        ({"up_widths": (8,)}, "expected one fewer, so that the length comes back"),
        ({"discriminator_kernels": (3, 2)}, "give each layer one of each"),
        ({"discriminator_kernels": (2, 2, 2)}, r"discriminator_kernels are \(\d+, \d+, 2\); use odd numbers"),
        ({"input_kernel": 6}, "use odd numbers"),
        ({"emotions": 0}, "emotions 0"),
    ],
)
def test_code_config_errors(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(CODE, **change)


def test_voice_config_errors():
    with pytest.raises(ConfigError, match="generator_widths is .*; expected at least one positive width"):
        VoiceGANConfig(generator_widths=())
    with pytest.raises(ConfigError, match="noise_dim is 0; expected at least 1"):
        VoiceGANConfig(noise_dim=0)


def test_full_sizes():
    """Counted from the reference's layer list."""
    assert Network(VoiceGenerator, VoiceGANConfig()).count() == 1_577_216
    assert Network(VoiceDiscriminator, VoiceGANConfig()).count() == 1_315_843
    assert Network(CodeGenerator, CodeGANConfig()).count() == 7_061_698
    assert Network(CodeDiscriminator, CodeGANConfig()).count() == 5_564_677
