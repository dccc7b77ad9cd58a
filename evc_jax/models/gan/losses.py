"""What VoiceGAN and CodeGAN share: the gradient penalty, the discriminator's output, and their losses.

Training and the comparison with the original call the same functions: `voices` and `converted` make the fakes,
`critic_loss` is what the discriminator minimises, `voicegan_generator_loss` and `codegan_generator_loss` what the
generators do.

Sources: Choi et al. 2017, "StarGAN", arXiv 1711.09020, equations 1 to 6, with its Wasserstein objective in place of
equation 1; Gulrajani et al. 2017, "Improved Training of Wasserstein GANs", arXiv 1704.00028, equation 3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from evc_jax.errors import ConfigError
from evc_jax.models.network import Network, Params, pytree_dataclass

Metrics = dict[str, Array]
Labels = Int[Array, " B"] | Float[Array, "B K"]  # numbers of classes, or each class's share; shares sum to one


@pytree_dataclass
class DiscriminatorOutput:
    """A discriminator's output: how real (source, unbounded) and of which class (logits)."""

    source: Float[Array, "B 1"]
    classes: Float[Array, "B K"]


@dataclasses.dataclass(frozen=True)
class GanNetworks:
    """Generator and discriminator."""

    generator: Network
    discriminator: Network


@dataclasses.dataclass(frozen=True)
class GanWeights:
    """Weights of the loss terms.

    Attributes:
      classification: of the cross-entropy.
      gradient_penalty: of the critic's Lipschitz penalty.
      reconstruction: of the cycle's L1 distance; VoiceGAN has no cycle.
    """

    classification: float = 1.0
    gradient_penalty: float = 10.0
    reconstruction: float = 0.0

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if value < 0:
                raise ConfigError(f"The loss weight {name} is {value}; expected 0 or more.")


VOICEGAN_WEIGHTS = GanWeights()
CODEGAN_WEIGHTS = GanWeights(classification=10.0, reconstruction=10.0)


def gradient_penalty(
    critic: Callable[[Array], Array], real: Float[Array, "B *S"], fake: Float[Array, "B *S"], alpha: Float[Array, " B"]
) -> Float[Array, ""]:
    """Mean squared deviation from 1 of the critic's gradient norm between real and fake samples (arXiv 1704.00028).

    Args:
      critic: samples [B, ...] to scores [B, 1].
      alpha: share of the real sample in [0, 1).
        NOTE: one factor per sample; the original's VoiceGAN mixes every sample with every other by a broadcast.
    """
    share = alpha.reshape(-1, *[1] * (real.ndim - 1))
    mixed = share * real + (1.0 - share) * fake
    gradients = jax.grad(lambda x: critic(x).sum())(mixed)
    squares = jnp.sum(gradients.reshape(gradients.shape[0], -1) ** 2, axis=1)
    # The square root has no derivative at 0, where a critic that is flat around a sample would put it.
    norms = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1.0)), 0.0)
    return jnp.mean((norms - 1.0) ** 2)


def soft_labels(labels: Labels, classes: int) -> Float[Array, "B K"]:
    """The classes' shares."""
    return jax.nn.one_hot(labels, classes) if labels.ndim == 1 else labels


def cross_entropy(
    logits: Float[Array, "B K"], labels: Labels, sample_weights: Float[Array, " B"] | None = None
) -> Float[Array, ""]:
    """Mean cross-entropy; with weights, which must average to one over the whole batch, the weighted mean."""
    losses = -jnp.sum(soft_labels(labels, logits.shape[-1]) * jax.nn.log_softmax(logits), axis=-1)
    return losses.mean() if sample_weights is None else jnp.mean(sample_weights * losses)


def sample_weights(
    class_weights: Float[Array, " K"],
    labels: Labels,
    mean_over_devices: Callable[[Array], Array] = lambda mean: mean,
) -> Float[Array, " B"]:
    """The classes' weights, one per sample, brought to an average of one over the batch; of mixtures their mean.

    A batch may be a part of a larger one, on this device or in this micro-batch: weights are made once for all of it,
    so that the mean of the parts' losses is the loss of the whole.
    """
    weights = jnp.sum(soft_labels(labels, len(class_weights)) * class_weights, axis=-1)
    return weights / mean_over_devices(weights.mean())


def accuracy(logits: Float[Array, "B K"], labels: Labels) -> Float[Array, ""]:
    """Share of samples whose largest logit is the label's, or that of its largest share."""
    expected = soft_labels(labels, logits.shape[-1]).argmax(-1)
    return jnp.mean((logits.argmax(-1) == expected).astype(jnp.float32))


def critic_loss(
    discriminate: Callable[[Array], DiscriminatorOutput],
    real: Float[Array, "B *S"],
    real_labels: Labels,
    fake: Float[Array, "B *S"],
    alpha: Float[Array, " B"],
    weights: GanWeights,
    label_weights: Float[Array, " B"] | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """The discriminator's loss: real up, fake down, real samples classified, slope near 1.

    Metrics are unweighted; `wasserstein` is the critic's estimate of the distance between real and fake.
    """
    fake = jax.lax.stop_gradient(fake)
    output = discriminate(jnp.concatenate([real, fake]))
    (on_real, on_fake), real_classes = jnp.split(output.source, 2), output.classes[: len(real)]
    wasserstein = on_real.mean() - on_fake.mean()
    classification = cross_entropy(real_classes, real_labels, label_weights)
    penalty = gradient_penalty(lambda x: discriminate(x).source, real, fake, alpha)
    loss = -wasserstein + weights.classification * classification + weights.gradient_penalty * penalty
    metrics = {
        "d_loss": loss,
        "wasserstein": wasserstein,
        "gradient_penalty": penalty,
        "real_classification": classification,
        "real_accuracy": accuracy(real_classes, real_labels),
    }
    return loss, metrics


def voices(
    nets: GanNetworks, g_params: Params, noise: Float[Array, "B N"], labels: Int[Array, " B"]
) -> Float[Array, "B E"]:
    """VoiceGAN's embeddings of the sexes `labels`."""
    return nets.generator.apply(g_params, noise, jax.nn.one_hot(labels, nets.generator.config.sexes))


def converted(
    nets: GanNetworks, g_params: Params, codes: Float[Array, "B T C"], labels: Labels
) -> Float[Array, "B T C"]:
    """CodeGAN's conversions to the emotions `labels`."""
    return nets.generator.apply(g_params, codes, soft_labels(labels, nets.generator.config.emotions))


def voicegan_generator_loss(
    nets: GanNetworks,
    g_params: Params,
    d_params: Params,
    noise: Float[Array, "B N"],
    labels: Int[Array, " B"],
    weights: GanWeights = VOICEGAN_WEIGHTS,
) -> tuple[Float[Array, ""], Metrics]:
    """VoiceGAN's generator: fakes that pass as real and as of the sexes `labels`."""
    return _deceive(nets.discriminator.apply(d_params, voices(nets, g_params, noise, labels)), labels, weights)


def codegan_generator_loss(
    nets: GanNetworks,
    g_params: Params,
    d_params: Params,
    codes: Float[Array, "B T C"],
    labels: Labels,
    target_labels: Labels,
    target_weights: Float[Array, " B"] | None = None,
    weights: GanWeights = CODEGAN_WEIGHTS,
) -> tuple[Float[Array, ""], Metrics]:
    """CodeGAN's generator: conversions that pass as real and as `target_labels`, and that convert back to `codes`.

    `target_weights` are those of `target_labels` (see `sample_weights`).
    """
    fake = converted(nets, g_params, codes, target_labels)
    loss, metrics = _deceive(nets.discriminator.apply(d_params, fake), target_labels, weights, target_weights)
    reconstruction = jnp.mean(jnp.abs(codes - converted(nets, g_params, fake, labels)))
    loss = loss + weights.reconstruction * reconstruction
    return loss, {**metrics, "g_loss": loss, "reconstruction": reconstruction}


def _deceive(
    output: DiscriminatorOutput, labels: Labels, weights: GanWeights, label_weights: Array | None = None
) -> tuple[Float[Array, ""], Metrics]:
    """What both generators minimise, from the discriminator's output for their fakes."""
    source, classification = output.source.mean(), cross_entropy(output.classes, labels, label_weights)
    loss = -source + weights.classification * classification
    known = {"fake_source": source, "fake_classification": classification}
    return loss, {"g_loss": loss, **known, "fake_accuracy": accuracy(output.classes, labels)}
