"""Training SpeechSplit: the autoencoder reconstructs clean speech from codes of randomly resampled speech.

Source: Qian et al. 2020, arXiv 2004.11284, section 3; Adam 1e-4, batch 16, MSE over padded crops
(`configs/speechsplit.py`).

NOTE: the reference trains on reconstruction alone. With `speaker_consistency_weight` each crop is decoded a second
time, with another speaker's embedding, and the frozen voice encoder is to find that speaker: the speaker consistency
of YourTTS (arXiv 2112.02418).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from etils import epath

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.io import from_pcm
from evc_jax.data import pipeline
from evc_jax.data.dataset import SpeakerTable, open_voices
from evc_jax.data.requirements import MIN_CROP_FRAMES, require_two_speakers
from evc_jax.errors import ConfigError, DataError
from evc_jax.features import speaker
from evc_jax.features.f0_codes import quantize_f0
from evc_jax.features.timbre_critic import (
    MIN_POWER,
    changed_power,
    encoder_frames,
    load_critic,
    log_power,
    perturbed,
)
from evc_jax.features.time_warp import at_length
from evc_jax.models.speechsplit.config import ENCODERS, F0ConverterConfig, SpeechSplitConfig
from evc_jax.models.speechsplit.network import Codes, SpeechSplit
from evc_jax.models.speechsplit.random_resampling import Resampling, draw_resampling, random_resample
from evc_jax.training.config import TrainConfig
from evc_jax.training.state import TrainState
from evc_jax.training.system import Batch, Metrics
from evc_jax.training.systems.single_network import UtteranceSystem

PARTS = (*ENCODERS, "decoder")
# Stream of a sample's key for the critic; the resampling takes the first ones.
CRITIC_STREAM = 1_000


@dataclass(frozen=True)
class CropOptions:
    """Crops and resampling.

    Attributes:
      min_crop_frames: a crop's length is drawn from here to the resampling's `max_length_frames`.
      resampled_share: share of the samples that are randomly resampled.
        NOTE: 1 in the reference. Laying stretched content onto the rhythm takes very many steps to learn; with a
        smaller share a short training learns to reconstruct speech first, and keeps rhythm in the content code.
      max_stretch: crops are made longer or shorter by a random factor of at most 1 plus this; 0 in the reference.
      max_gain_db: crops become louder or softer by a random gain of at most so much; 0 in the reference.
    """

    min_crop_frames: int = MIN_CROP_FRAMES
    resampled_share: float = 1.0
    max_stretch: float = 0.0
    max_gain_db: float = 0.0

    def __post_init__(self):
        if not 0 <= self.resampled_share <= 1:
            raise ConfigError(f"config.options.resampled_share is {self.resampled_share}; expected 0 to 1.")
        for key in ("max_stretch", "max_gain_db"):
            if getattr(self, key) < 0:
                raise ConfigError(f"config.options.{key} is {getattr(self, key)}; expected 0 or more.")


@dataclass(frozen=True)
class Options(CropOptions):
    """The crops of SpeechSplit, and what of it is trained by which loss.

    Attributes:
      speaker_consistency_weight: of 1 minus the cosine between another speaker's embedding and that of the crop decoded
        with it; 0 in the reference.
      trained_parts: those of `PARTS` that are trained; all if empty. With the decoder alone, networks that were trained
        on this SpeechSplit's codes stay valid.
    """

    speaker_consistency_weight: float = 0.0
    trained_parts: tuple[str, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        if self.speaker_consistency_weight < 0:
            raise ConfigError(
                f"config.options.speaker_consistency_weight is {self.speaker_consistency_weight}; expected 0 or more."
            )
        if unknown := [part for part in self.trained_parts if part not in PARTS]:
            raise ConfigError(
                f"config.options.trained_parts names {', '.join(unknown)}; expected some of {', '.join(PARTS)}."
            )


class CropSystem(UtteranceSystem):
    """The data of SpeechSplit and of the F0 converter: random crops of utterances."""

    options_type = CropOptions
    options: CropOptions
    model: SpeechSplitConfig | F0ConverterConfig

    def reading(self, split: str) -> tuple[tuple[str, ...], pipeline.Transform]:
        return pipeline.SPEECHSPLIT_FIELDS, functools.partial(pipeline.crop_utterance, config=self.crops)

    @functools.cached_property
    def crops(self) -> pipeline.CropConfig:
        """How crops are drawn."""
        options, resampling = self.options, self.model.resampling
        return pipeline.CropConfig(
            resampling.padded_frames,
            options.min_crop_frames,
            resampling.max_length_frames,
            options.max_stretch,
            options.max_gain_db / self.audio.range_db if options.max_gain_db else 0.0,
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

    network_type, config_type, options_type = SpeechSplit, SpeechSplitConfig, Options
    options: Options
    model: SpeechSplitConfig

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        super().__init__(config, workdir)
        if self.options.speaker_consistency_weight:
            self._critic, self._critic_params = load_critic(config.compute_dtype)

    def reading(self, split: str) -> tuple[tuple[str, ...], pipeline.Transform]:
        if not self.options.speaker_consistency_weight:
            return super().reading(split)
        if self.audio != AudioConfig():  # for which `timbre_critic` is made
            raise DataError("The speaker consistency needs data with the default audio settings; prepare it with them.")
        voices = open_voices(self.config.data.data_dir, self.config.data.datasets, split)
        require_two_speakers(voices.names)
        transform = functools.partial(crop_with_target, config=self.crops, voices=voices)
        return (*pipeline.SPEECHSPLIT_FIELDS, "audio", "speaker"), transform

    def loss(self, params: Any, batch: Batch, keys: jax.Array) -> tuple[jax.Array, Metrics]:
        """MSE of the mel over the padded crop, and the speaker consistency where it has a weight."""
        trained, weight = self.options.trained_parts or PARTS, self.options.speaker_consistency_weight
        params = {name: part if name in trained else jax.lax.stop_gradient(part) for name, part in params.items()}
        mel, f0, resamplings = self.resampled_inputs(batch, keys, self.model.content.blocks)
        codes = self.network.apply(params, mel, f0, batch["mel"], resamplings, method="encode")
        rebuilt = self.network.apply(params, codes, batch["speaker_embedding"], method="decode")
        loss = jnp.mean(optax.squared_error(rebuilt, batch["mel"]))
        if not weight:
            return loss, {"loss": loss}
        distance, metrics = self._speaker_distance(params, codes, batch, keys)
        metrics["reconstruction"] = loss
        loss = loss + weight * distance
        return loss, {"loss": loss, **metrics}

    def _speaker_distance(self, params: Any, codes: Codes, batch: Batch, keys: jax.Array) -> tuple[jax.Array, Metrics]:
        """1 minus the cosine between the target and what the critic makes of the crop decoded with it."""
        decoded = self.network.apply(params, codes, batch["target"], method="decode")
        exists = jnp.arange(decoded.shape[1])[None, :, None] < batch["length"][:, None, None]
        change_db = jnp.where(exists, decoded - batch["mel"], 0) * AudioConfig().range_db
        power = changed_power(batch["log_power"], change_db)
        # Shorter crops are repeated to the length that the critic was trained with.
        frames = encoder_frames(batch["length"])[:, None]
        places = jnp.arange(speaker.PARTIAL_FRAMES)[None] % jnp.maximum(frames, 1)
        power = jnp.take_along_axis(power, places[..., None], axis=1)
        embedding = self._critic.apply(self._critic_params, perturbed(_stream(keys, CRITIC_STREAM), power))
        to_target, to_source = (jnp.sum(embedding * batch[name], axis=-1) for name in ("target", "speaker_embedding"))
        nearer = (to_target > to_source).astype(jnp.float32)
        metrics = {"to_target": to_target, "to_source": to_source, "nearer": nearer}
        return 1 - jnp.mean(to_target), {name: jnp.mean(value) for name, value in metrics.items()}

    def evaluate(self, state: TrainState, batch: Batch, key: jax.Array) -> Metrics:
        """`loss` as trained, and the reconstruction as it is used: nothing resampled, over the frames that exist."""
        f0 = quantize_f0(batch["f0"], self.model.f0_classes)
        rebuilt = self.network.apply(self.evaluation_params(state), batch["mel"], f0, batch["speaker_embedding"])
        exists = jnp.arange(f0.shape[1])[None, :] < batch["length"][:, None]
        error = jnp.abs(rebuilt - batch["mel"]).mean(axis=-1)
        return {**super().evaluate(state, batch, key), "mel_l1": jnp.mean(jnp.mean(error, axis=1, where=exists))}


def crop_with_target(
    record: Mapping[str, Any], generator: np.random.Generator, config: pipeline.CropConfig, voices: SpeakerTable
) -> dict[str, np.ndarray]:
    """A crop, the voice encoder's spectrogram of it, and the embedding of another speaker.

    Returns:
      what `pipeline.crop_utterance` does, `log_power [P, K]`, the decimal logarithm, and `target [256]`; float32.
    """
    crop = pipeline.draw_crop(len(record["mel"]), generator, config)
    hop = AudioConfig().hop_samples
    samples = from_pcm(record["audio"][crop.start * hop : (crop.start + crop.taken - 1) * hop])
    power = at_length(log_power(speaker.power_mel(samples)), int(encoder_frames(crop.length)))
    padded = np.full((int(encoder_frames(config.max_frames)), speaker.MEL_BANDS), np.log10(MIN_POWER), np.float32)
    padded[: len(power)] = power
    others = np.flatnonzero(np.asarray(voices.names) != record["speaker"])
    target = voices.embeddings[generator.choice(others)].astype(np.float32)
    return {
        **pipeline.cut_utterance(record, crop, generator, config),
        "log_power": padded,
        "target": target,
    }


def _stream(keys: jax.Array, number: int) -> jax.Array:
    """Stream `number` of each sample's key."""
    return jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)
