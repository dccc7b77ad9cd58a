"""Training VoiceGAN on one embedding per speaker. Losses: `evc_jax.models.gan.losses`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from etils import epath

from evc_jax.config import from_mapping
from evc_jax.data.dataset import open_speakers
from evc_jax.data.pipeline import BalancedVoices
from evc_jax.models.gan import losses as gan_losses
from evc_jax.models.gan.voicegan import VoiceDiscriminator, VoiceGANConfig, VoiceGenerator
from evc_jax.models.network import Network
from evc_jax.training.config import TrainConfig
from evc_jax.training.systems.gan import Batch, GanSystem


@dataclass(frozen=True)
class Options:
    """Weights of the loss terms, and critic updates per generator update."""

    weights: gan_losses.GanWeights = field(default_factory=lambda: gan_losses.VOICEGAN_WEIGHTS)
    critic_steps: int = 5


class VoiceGANSystem(GanSystem):
    """VoiceGAN's losses and data."""

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        del workdir  # nothing is computed once
        self.options = from_mapping(Options, config.options, "config.options")
        model = config.network_config(VoiceGANConfig)
        networks = gan_losses.GanNetworks(Network(VoiceGenerator, model), Network(VoiceDiscriminator, model))
        super().__init__(config, networks, self.options.critic_steps)

    def draw(self, batch: Batch, keys: jax.Array) -> Batch:
        """Adds noise [B, N] and interpolation factors [B]."""
        noise_keys, alpha_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        noise = jax.vmap(lambda key: jax.random.normal(key, (self.model.noise_dim,)))(noise_keys)
        return {**batch, "noise": noise, "alpha": jax.vmap(jax.random.uniform)(alpha_keys)}

    def fake(self, generator: Any, batch: Batch) -> jax.Array:
        return gan_losses.voices(self.nets, generator, batch["noise"], batch["sex"])

    def critic_loss(self, discriminator: Any, batch: Batch):
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
        return BalancedVoices(open_speakers(data.data_dir, data.datasets, split))

    def sample_names(self, records: np.ndarray) -> list[str]:
        """The speakers behind record numbers of the training data."""
        voices = self.records("train")
        return [voices.name(int(record)) for record in records]
