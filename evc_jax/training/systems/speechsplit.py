"""Training SpeechSplit: the autoencoder reconstructs clean speech from codes of randomly resampled speech.

Source: arXiv 2004.11284, section 3; Adam 1e-4, batch 16, MSE over padded crops (`configs/speechsplit.py`).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import grain
import jax
import jax.numpy as jnp
import optax

from evc_jax.data import pipeline
from evc_jax.data.dataset import open_split
from evc_jax.errors import ConfigError
from evc_jax.features.f0_codes import quantize_f0
from evc_jax.models.speechsplit.config import F0ConverterConfig, SpeechSplitConfig
from evc_jax.models.speechsplit.network import SpeechSplit
from evc_jax.models.speechsplit.random_resampling import Resampling, draw_resampling, random_resample
from evc_jax.training.state import TrainState
from evc_jax.training.system import Batch, Metrics
from evc_jax.training.systems.single_network import SingleNetworkSystem


@dataclass(frozen=True)
class Options:
    """Crops and resampling.

    Attributes:
      min_crop_frames: a crop's length is drawn from here to the resampling's `max_length_frames`.
      resampled_share: share of the samples that are randomly resampled.
        NOTE: 1 in the reference. Laying stretched content onto the rhythm takes very many steps to learn; with a
        smaller share a short training learns to reconstruct speech first, and keeps rhythm in the content code.
    """

    min_crop_frames: int = 64
    resampled_share: float = 1.0

    def __post_init__(self):
        if not 0 <= self.resampled_share <= 1:
            raise ConfigError(f"config.options.resampled_share is {self.resampled_share}; expected 0 to 1.")


class CropSystem(SingleNetworkSystem):
    """The data of SpeechSplit and of the F0 converter: random crops of utterances."""

    options_type = Options
    options: Options
    model: SpeechSplitConfig | F0ConverterConfig

    def data(self, split: str, batch_size: int, first_sample: int = 0) -> grain.IterDataset:
        data, resampling = self.config.data, self.model.resampling
        longest = resampling.max_length_frames
        crops = pipeline.CropConfig(resampling.padded_frames, self.options.min_crop_frames, longest)
        return pipeline.build(
            open_split(data.data_dir, data.datasets, split, pipeline.SPEECHSPLIT_FIELDS),
            functools.partial(pipeline.crop_utterance, config=crops),
            batch_size,
            **self.reading_options(split, first_sample),
        )

    def resampled_inputs(
        self, batch: Batch, keys: jax.Array, blocks: int
    ) -> tuple[jax.Array, jax.Array, tuple[Resampling, ...]]:
        """The inputs of the encoders in training; `keys` [B] are the samples' own.

        Returns:
          mel [B, T, F] and F0 classes [B, T], resampled together in time, F0 quantized after that; and an independent
          draw for each of the `blocks` convolution blocks of an encoder.
        """
        config = self.model.resampling
        active = jax.vmap(jax.random.uniform)(_stream(keys, blocks + 1)) < self.options.resampled_share
        first, *rest = (draw_resampling(_stream(keys, i), config, active) for i in range(blocks + 1))
        both = jnp.concatenate([batch["mel"], batch["f0"][..., None]], axis=-1)
        both = random_resample(both, batch["length"], first, config)
        return both[..., :-1], quantize_f0(both[..., -1], self.model.f0_classes), tuple(rest)


class SpeechSplitSystem(CropSystem):
    """The autoencoder's loss."""

    network_type, config_type = SpeechSplit, SpeechSplitConfig
    model: SpeechSplitConfig

    def loss(self, params: Any, batch: Batch, keys: jax.Array) -> tuple[jax.Array, Metrics]:
        """MSE of the mel over the padded crop."""
        mel, f0, resamplings = self.resampled_inputs(batch, keys, self.model.content.blocks)
        voice = batch["speaker_embedding"]
        rebuilt = self.network.apply(params, mel, f0, voice, rhythm_mel=batch["mel"], resamplings=resamplings)
        loss = jnp.mean(optax.squared_error(rebuilt, batch["mel"]))
        return loss, {"loss": loss}

    def evaluate(self, state: TrainState, batch: Batch, key: jax.Array) -> Metrics:
        """`loss` as trained, and the reconstruction as it is used: nothing resampled, over the frames that exist."""
        f0 = quantize_f0(batch["f0"], self.model.f0_classes)
        rebuilt = self.network.apply(self.evaluation_params(state), batch["mel"], f0, batch["speaker_embedding"])
        exists = jnp.arange(f0.shape[1])[None, :] < batch["length"][:, None]
        error = jnp.abs(rebuilt - batch["mel"]).mean(axis=-1)
        return {**super().evaluate(state, batch, key), "mel_l1": jnp.mean(jnp.mean(error, axis=1, where=exists))}


def _stream(keys: jax.Array, number: int) -> jax.Array:
    """Stream `number` of each sample's key."""
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
