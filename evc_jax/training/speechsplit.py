"""Training SpeechSplit: the autoencoder must rebuild clean speech from codes of randomly resampled speech.

Source: arXiv 2004.11284, section 3; Adam 1e-4, batch 16, MSE over padded crops (`configs/speechsplit.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grain
import jax
import jax.numpy as jnp
import optax
from etils import epath

from evc_jax.config import from_mapping, to_mapping
from evc_jax.data import pipeline
from evc_jax.data.source import open_split
from evc_jax.errors import ConfigError
from evc_jax.models.layers import Network
from evc_jax.models.resampling import Resampling, ResamplingConfig, draw_resampling, random_resample
from evc_jax.models.speechsplit import SpeechSplit, SpeechSplitConfig
from evc_jax.pitch import quantize_f0
from evc_jax.training.config import TrainConfig
from evc_jax.training.parallel import mean_over_devices
from evc_jax.training.state import TrainState, apply_gradients, make_optimizer, sample_keys

Batch = dict[str, jax.Array]


@dataclass(frozen=True)
class Options:
    """Crops and resampling.

    Attributes:
      min_crop_frames: a crop's length is drawn from here to the resampling's `max_length_frames`.
      resampled_share: share of the samples that are randomly resampled.
        NOTE: 1 in the reference. Laying stretched content onto the rhythm takes very many steps to learn; with a
        smaller share a short training learns to rebuild speech first, and keeps rhythm in the content code.
    """

    min_crop_frames: int = 64
    resampled_share: float = 1.0

    def __post_init__(self):
        if not 0 <= self.resampled_share <= 1:
            raise ConfigError(f"config.options.resampled_share is {self.resampled_share}; expected 0 to 1.")


def resampled_inputs(
    batch: Batch, keys: jax.Array, config: ResamplingConfig, share: float, f0_classes: int, blocks: int
) -> tuple[jax.Array, jax.Array, tuple[Resampling, ...]]:
    """What the encoders see in training.

    Args:
      batch: see `pipeline.speechsplit_pipeline`.
      keys: one per sample.
      config: how to cut and stretch.
      share: of the samples that are resampled at all.
      f0_classes: K.
      blocks: convolution blocks of the content and pitch encoders.

    Returns:
      mel [B, T, F] and F0 one-hot [B, T, K], resampled together in time, F0 quantised after that; and an independent
      draw for each convolution block.
    """
    active = jax.vmap(jax.random.uniform)(_stream(keys, blocks + 1)) < share
    first, *rest = (draw_resampling(_stream(keys, i), config, active) for i in range(blocks + 1))
    both = jnp.concatenate([batch["mel"], batch["f0"][..., None]], axis=-1)
    both = random_resample(both, batch["length"], first, config)
    return both[..., :-1], jax.nn.one_hot(quantize_f0(both[..., -1], f0_classes), f0_classes), tuple(rest)


def crop_data(
    config: TrainConfig, options: Options, resampling: ResamplingConfig, split: str, batch_size: int
) -> grain.IterDataset:
    """Random crops for SpeechSplit and the F0 converter."""
    return pipeline.speechsplit_pipeline(
        open_split(config.data.data_dir, config.data.datasets, split, pipeline.SPEECHSPLIT_FIELDS),
        pipeline.CropConfig(resampling.padded_frames, options.min_crop_frames, resampling.max_length_frames),
        batch_size,
        config.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        read_threads=config.data.read_threads,
        train=split == "train",
    )


class SpeechSplitSystem:
    """The autoencoder's loss and step."""

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        del workdir  # nothing is computed once
        self.config = config
        self.options = from_mapping(Options, config.options, "config.options")
        self.model = from_mapping(SpeechSplitConfig, config.model, "config.model")
        self.network = Network(SpeechSplit, self.model)
        self.optimizer = make_optimizer(config.optimizer, config.steps)

    def init(self, key: jax.Array) -> TrainState:
        params = self.network.init(key)
        return TrainState(step=jnp.zeros((), jnp.int32), params=params, opt_state=self.optimizer.init(params))

    def loss(self, params: Any, batch: Batch, keys: jax.Array) -> jax.Array:
        """MSE of the mel over the padded crop; `keys` [B] are the samples' own."""
        model, share = self.model, self.options.resampled_share
        mel, f0, resamplings = resampled_inputs(
            batch, keys, model.resampling, share, model.f0_classes, model.content.blocks
        )
        voice = batch["speaker_embedding"]
        rebuilt = self.network.apply(params, mel, f0, voice, rhythm_mel=batch["mel"], resamplings=resamplings)
        return jnp.mean(optax.squared_error(rebuilt, batch["mel"]))

    def step(self, state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        keys = sample_keys(key, state.step, batch["index"])
        loss, grads = mean_over_devices(jax.value_and_grad(self.loss)(state.params, batch, keys))
        params, opt_state = apply_gradients(self.optimizer, grads, state.params, state.opt_state)
        metrics = {"loss": loss, "grad_norm": optax.global_norm(grads)}
        return TrainState(step=state.step + 1, params=params, opt_state=opt_state), metrics

    def evaluate(self, state: TrainState, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
        """`loss` as trained, and the reconstruction as it is used: nothing resampled, over the frames that exist."""
        keys = sample_keys(key, 0, batch["index"])
        f0 = jax.nn.one_hot(quantize_f0(batch["f0"], self.model.f0_classes), self.model.f0_classes)
        rebuilt = self.network.apply(state.params, batch["mel"], f0, batch["speaker_embedding"])
        exists = jnp.arange(f0.shape[1])[None, :] < batch["length"][:, None]
        error = jnp.abs(rebuilt - batch["mel"]).mean(axis=-1)
        return {
            "loss": self.loss(state.params, batch, keys),
            "mel_l1": jnp.mean(jnp.mean(error, axis=1, where=exists)),
        }

    def data(self, split: str, batch_size: int) -> grain.IterDataset:
        return crop_data(self.config, self.options, self.model.resampling, split, batch_size)

    def networks(self) -> dict[str, dict[str, Any]]:
        return {"speechsplit": to_mapping(self.model)}

    def exported(self, state: TrainState) -> dict[str, Any]:
        return {"speechsplit": state.params}


def _stream(keys: jax.Array, number: int) -> jax.Array:
    """Stream `number` of each sample's key."""
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
