"""Training VoiceGAN on one embedding per speaker. Losses: `evc_jax.models.gan`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import grain
import jax
from etils import epath

from evc_jax.config import from_mapping, to_mapping
from evc_jax.data import pipeline
from evc_jax.data.source import open_speakers
from evc_jax.models import gan
from evc_jax.models.layers import Network
from evc_jax.models.voicegan import VoiceDiscriminator, VoiceGANConfig, VoiceGenerator
from evc_jax.training.config import TrainConfig
from evc_jax.training.gan import Batch, GanSystem, GanTrainer, group_samples
from evc_jax.training.state import GanState


@dataclass(frozen=True)
class Options:
    """Weights of the loss terms, and critic updates per generator update."""

    weights: gan.GanWeights = field(default_factory=lambda: gan.VOICEGAN_WEIGHTS)
    critic_steps: int = 5


class VoiceGANSystem(GanSystem):
    """VoiceGAN's losses and step."""

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        del workdir  # nothing is computed once
        self.config = config
        self.options = from_mapping(Options, config.options, "config.options")
        self.model = from_mapping(VoiceGANConfig, config.model, "config.model")
        self.nets = gan.GanNetworks(Network(VoiceGenerator, self.model), Network(VoiceDiscriminator, self.model))
        self.trainer = GanTrainer(self.nets, config, self.options.critic_steps)

    def critic_loss(self, discriminator: Any, generator: Any, batch: Batch, keys: jax.Array):
        noise, alpha = self._draw(keys)
        real, sex = batch["embedding"], batch["sex"]
        return gan.voicegan_discriminator_loss(
            self.nets, discriminator, generator, real, sex, noise, sex, alpha, self.options.weights
        )

    def generator_loss(self, generator: Any, discriminator: Any, batch: Batch, keys: jax.Array):
        noise, _ = self._draw(keys)
        return gan.voicegan_generator_loss(
            self.nets, generator, discriminator, noise, batch["sex"], self.options.weights
        )

    def data(self, split: str, batch_size: int) -> grain.IterDataset:
        train, size = split == "train", self.options.critic_steps
        dataset = pipeline.voicegan_pipeline(
            open_speakers(self.config.data.data_dir, self.config.data.datasets, split),
            batch_size * size if train else batch_size,
            self.config.seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            read_threads=self.config.data.read_threads,
            train=train,
        )
        return dataset.map(lambda batch: group_samples(batch, size)) if train else dataset

    def networks(self) -> dict[str, dict[str, Any]]:
        return {"voicegan": to_mapping(self.model)}

    def exported(self, state: GanState) -> dict[str, Any]:
        return {"voicegan": state.generator}

    def _draw(self, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Noise [B, N] and interpolation factors [B]."""
        noise_keys, alpha_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        noise = jax.vmap(lambda key: jax.random.normal(key, (self.model.noise_dim,)))(noise_keys)
        return noise, jax.vmap(jax.random.uniform)(alpha_keys)
