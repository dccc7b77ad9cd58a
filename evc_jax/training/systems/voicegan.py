"""Training VoiceGAN on speakers' embeddings. Losses: `evc_jax.models.gan.losses`.

NOTE: the reference has one embedding per speaker. With `partial_utterances` a sample is the normalized mean of a
speaker's partial utterances with random weights: another utterance's embedding, as conversion receives it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evc_jax.data.dataset import SpeakerTable, audio_config, dataset_info, open_speakers, open_split
from evc_jax.data.pipeline import BalancedVoices
from evc_jax.errors import ConfigError, DataError
from evc_jax.features.speaker import SAMPLE_RATE_HZ
from evc_jax.models.gan import losses as gan_losses
from evc_jax.models.gan.voicegan import VoiceDiscriminator, VoiceGANConfig, VoiceGenerator
from evc_jax.training.parallel import mean_over_devices
from evc_jax.training.system import Batch
from evc_jax.training.systems.gan import GanSystem
from evc_jax.training.systems.voicegan_data import FIELDS, load_partials

# Stream of a sample's key for the mean; `draw` splits the key itself.
MEAN_STREAM = 1_000


@dataclass(frozen=True)
class Options:
    """Weights of the loss terms, and what is trained on.

    Attributes:
      weights: of the loss terms.
      discriminator_steps: updates of the discriminator per update of the generator.
      partial_utterances: so many of each speaker are embedded, and means of them trained on; 0, the reference, trains
        on the speakers' own embeddings.
      utterances_per_speaker: at most so many of each speaker are embedded for that.
    """

    weights: gan_losses.GanWeights = field(default_factory=lambda: gan_losses.VOICEGAN_WEIGHTS)
    discriminator_steps: int = 5
    partial_utterances: int = 0
    utterances_per_speaker: int = 16

    def __post_init__(self):
        if self.partial_utterances < 0 or self.utterances_per_speaker < 1:
            raise ConfigError(
                f"config.options has partial_utterances {self.partial_utterances} and utterances_per_speaker "
                f"{self.utterances_per_speaker}; set them to at least 0 and 1."
            )


class VoiceGANSystem(GanSystem):
    """VoiceGAN's losses and data."""

    generator_type, discriminator_type, config_type = VoiceGenerator, VoiceDiscriminator, VoiceGANConfig
    options_type = Options
    options: Options
    model: VoiceGANConfig

    def draw(self, batch: Batch, keys: jax.Array, batch_mean: Callable = mean_over_devices) -> Batch:
        """Adds noise [B, N] and interpolation factors [B]; of several embeddings of a speaker, draws a mean [B, E]."""
        noise_keys, alpha_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        noise = jax.vmap(lambda key: jax.random.normal(key, (self.model.noise_dim,)))(noise_keys)
        if batch["embedding"].ndim == 3:
            batch = {**batch, "embedding": jax.vmap(_random_mean)(keys, batch["embedding"])}
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
        speakers = open_speakers(data.data_dir, data.datasets, split)
        # Validation stays comparable: it always compares with the speakers' own embeddings.
        several = split == "train" and self.options.partial_utterances
        return BalancedVoices(speakers, self._partials(speakers) if several else None)

    def _partials(self, speakers: SpeakerTable) -> Float[np.ndarray, "N M 256"]:
        data, options = self.config.data, self.options
        rate_hz = audio_config(data.data_dir, data.datasets).sample_rate_hz
        if rate_hz != SAMPLE_RATE_HZ:
            raise DataError(
                f"The data has {rate_hz} Hz and partial utterances are embedded at {SAMPLE_RATE_HZ} Hz; set "
                "config.options.partial_utterances=0."
            )
        sizes = (options.partial_utterances, options.utterances_per_speaker)
        origin = {"data": [[name, dataset_info(data.data_dir, name)] for name in data.datasets], "sizes": sizes}
        source = open_split(data.data_dir, data.datasets, "train", FIELDS)
        return load_partials(source, speakers.names, *sizes, self._workdir / "partials.npz", origin)

    def sample_names(self, records: np.ndarray) -> list[str]:
        """The speakers behind record numbers of the training data."""
        voices = self.records("train")
        return [voices.name(int(record)) for record in records]


def _random_mean(key: jax.Array, embeddings: Float[Array, "M E"]) -> Float[Array, " E"]:
    """A mean with random weights, of unit length."""
    mean = jax.random.exponential(jax.random.fold_in(key, MEAN_STREAM), embeddings.shape[:1]) @ embeddings
    return mean / jnp.linalg.norm(mean)
