"""Training VoiceGAN on one embedding per speaker. Losses: `evc_jax.models.gan.losses`.

Source: emo-clone's `cvoicegan/solver_wgan.py` (github.com/alexbrx/emo-clone, 2020), after Gulrajani et al. 2017, arXiv
1704.00028.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from evc_jax.data.dataset import open_voices
from evc_jax.data.pipeline import BalancedVoices
from evc_jax.data.requirements import VOICE_SEXES
from evc_jax.models.gan import losses as gan_losses
from evc_jax.models.gan.voicegan import VoiceDiscriminator, VoiceGANConfig, VoiceGenerator
from evc_jax.training.parallel import mean_over_devices
from evc_jax.training.system import Batch
from evc_jax.training.systems.gan import GanSystem


@dataclass(frozen=True)
class Options:
    """Weights of the loss terms, and updates of the discriminator per update of the generator."""

    weights: gan_losses.GanWeights = field(default_factory=lambda: gan_losses.VOICEGAN_WEIGHTS)
    discriminator_steps: int = 5


class VoiceGANSystem(GanSystem):
    """VoiceGAN's losses and data."""

    generator_type, discriminator_type, config_type = VoiceGenerator, VoiceDiscriminator, VoiceGANConfig
    options_type = Options
    options: Options
    model: VoiceGANConfig

    def draw(self, batch: Batch, keys: jax.Array, batch_mean: Callable = mean_over_devices) -> Batch:
        """Adds noise [B, N] and interpolation factors [B]."""
        noise_keys, alpha_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        noise = jax.vmap(lambda key: jax.random.normal(key, (self.model.noise_dim,)))(noise_keys)
        return {**batch, "noise": noise, "alpha": jax.vmap(jax.random.uniform)(alpha_keys)}

    def fake(self, generator: Any, batch: Batch) -> jax.Array:
        return gan_losses.voices(self.nets, generator, batch["noise"], batch["sex"])

    def discriminator_loss(self, discriminator: Any, batch: Batch):
        return gan_losses.critic_loss(
            lambda embedding: self.nets.discriminator.apply(discriminator, embedding),
            batch["embedding"],
            batch["sex"],
            batch["fake"],
            batch["alpha"],
            self.options.weights,
        )

    def generator_loss(self, generator: Any, discriminator: Any, batch: Batch):
        return gan_losses.voicegan_generator_loss(
            self.nets, generator, discriminator, batch["noise"], batch["sex"], self.options.weights
        )

    def records(self, split: str) -> BalancedVoices:
        data = self.config.data
        voices = open_voices(data.data_dir, data.datasets, split)
        if split != "train" and not {*VOICE_SEXES} <= {*voices.sexes}:  # a small corpus has none of each to hold out
            voices = open_voices(data.data_dir, data.datasets, "train")
        return BalancedVoices(voices)

    def sample_names(self, records: np.ndarray) -> list[str]:
        """The speakers behind record numbers of the training data."""
        voices = self.records("train")
        return [voices.name(int(record)) for record in records]
