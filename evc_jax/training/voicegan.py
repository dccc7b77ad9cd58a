"""Training VoiceGAN on one embedding per speaker. Losses: `evc_jax.models.gan`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import grain
import jax
import numpy as np
from etils import epath

from evc_jax.config import from_mapping
from evc_jax.data import pipeline
from evc_jax.data.source import SpeakerTable, open_speakers
from evc_jax.models import gan
from evc_jax.models.layers import Network
from evc_jax.models.voicegan import VoiceDiscriminator, VoiceGANConfig, VoiceGenerator
from evc_jax.training.config import TrainConfig
from evc_jax.training.gan import Batch, GanSystem, group_samples


@dataclass(frozen=True)
class Options:
    """Weights of the loss terms, and critic updates per generator update."""

    weights: gan.GanWeights = field(default_factory=lambda: gan.VOICEGAN_WEIGHTS)
    critic_steps: int = 5


class VoiceGANSystem(GanSystem):
    """VoiceGAN's losses and data."""

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        del workdir  # nothing is computed once
        self.options = from_mapping(Options, config.options, "config.options")
        model = config.network_config(VoiceGANConfig)
        networks = gan.GanNetworks(Network(VoiceGenerator, model), Network(VoiceDiscriminator, model))
        super().__init__(config, networks, self.options.critic_steps)

    def draw(self, batch: Batch, keys: jax.Array) -> Batch:
        """Adds noise [B, N] and interpolation factors [B]."""
        noise_keys, alpha_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        noise = jax.vmap(lambda key: jax.random.normal(key, (self.model.noise_dim,)))(noise_keys)
        return {**batch, "noise": noise, "alpha": jax.vmap(jax.random.uniform)(alpha_keys)}

    def critic_loss(self, discriminator: Any, generator: Any, batch: Batch):
        return gan.voicegan_discriminator_loss(
            self.nets,
            discriminator,
            generator,
            batch["embedding"],
            batch["sex"],
            batch["noise"],
            batch["sex"],
            batch["alpha"],
            self.options.weights,
        )

    def generator_loss(self, generator: Any, discriminator: Any, batch: Batch):
        return gan.voicegan_generator_loss(
            self.nets, generator, discriminator, batch["noise"], batch["sex"], self.options.weights
        )

    def data(self, split: str, batch_size: int, first_sample: int = 0) -> grain.IterDataset:
        train, size = split == "train", self.options.critic_steps
        dataset = pipeline.voicegan_pipeline(
            self._speakers(split),
            batch_size * size if train else batch_size,
            self.config.seed,
            first_sample=first_sample * size,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            read_threads=self.config.data.read_threads,
            train=train,
        )
        return dataset.map(lambda batch: group_samples(batch, size)) if train else dataset

    def sample_names(self, records: np.ndarray) -> list[str]:
        """The speakers behind record numbers of the training data."""
        voices = pipeline.BalancedVoices(self._speakers("train"))
        return [voices.name(int(record)) for record in records]

    def _speakers(self, split: str) -> SpeakerTable:
        return open_speakers(self.config.data.data_dir, self.config.data.datasets, split)
