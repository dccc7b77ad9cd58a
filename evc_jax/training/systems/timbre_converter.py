"""Training the timbre converter with a critic that knows voices: the frozen voice encoder.

The critic embeds the power mel-spectrogram of a source at the target's register, multiplied with the network's change.
The cosine to the target's embedding is to be large, and larger than that to the source's. This speaker consistency is
that of YourTTS (arXiv 2112.02418). Random filters, noise and gains before the critic leave less room for patterns that
only this encoder takes for a voice; the target's mean spectrum, bounds and smoothness do the rest.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Array, Float

from evc_jax.data import pipeline
from evc_jax.data.dataset import dataset_info, open_split, utterance_ids
from evc_jax.features import speaker
from evc_jax.features.timbre_critic import FILTER_DB, GAIN_DB, changed_power, distances, load_critic, perturbed
from evc_jax.models.timbre_converter import TimbreChange, TimbreConverter, TimbreConverterConfig, cosines
from evc_jax.training.config import TrainConfig
from evc_jax.training.system import Batch, Metrics
from evc_jax.training.systems.single_network import SingleNetworkSystem
from evc_jax.training.systems.timbre_data import FIELDS, Excerpts, Sampling, draw_sample, load_excerpts

MIN_VOICED_FRAMES = 10


@dataclass(frozen=True)
class TimbreWeights:
    """Weights of the loss terms beside the distance to the target.

    Attributes:
      nearness: being nearer to the source than to the target.
      spectrum: distance of the mean change from that of the two mean spectra, per dB.
      size, varying: squared change, and its part that varies over frames, per dB².
      smoothness: squared difference of neighbouring frames, per dB².
    """

    nearness: float = 1.0
    spectrum: float = 0.03
    size: float = 0.0004
    varying: float = 0.003
    smoothness: float = 0.01


@dataclass(frozen=True)
class Options:
    """Excerpts, targets and what is done to the critic's input.

    Attributes:
      excerpt_frames: mel frames of the part of an utterance that is rendered.
      utterances_per_speaker: at most so many, so that no corpus outweighs the others.
      window_frames, shifts_semitones, register_error_semitones, mixed_share: see `timbre_data.Sampling`.
      weights: of the loss terms.
      filter_db: standard deviation of the random filters' first cosine.
      gain_db: largest random gain.
    """

    excerpt_frames: int = 250
    utterances_per_speaker: int = 16
    window_frames: int = speaker.PARTIAL_FRAMES
    shifts_semitones: tuple[float, ...] = (-12, -9, -6, -3, 0, 3, 6, 9, 12)
    register_error_semitones: float = 0.7
    mixed_share: float = 0.3
    weights: TimbreWeights = field(default_factory=TimbreWeights)
    filter_db: float = FILTER_DB
    gain_db: float = GAIN_DB


class TimbreConverterSystem(SingleNetworkSystem):
    """The timbre converter's data and loss."""

    network_type, config_type, options_type = TimbreConverter, TimbreConverterConfig, Options
    options: Options
    model: TimbreConverterConfig

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        super().__init__(config, workdir)
        self._excerpts = functools.cache(self._load_excerpts)
        self._critic, self._critic_params = load_critic(config.compute_dtype)

    def loss(self, params: Any, batch: Batch, keys: jax.Array) -> tuple[jax.Array, Metrics]:
        """The critic's loss and what bounds the change; metrics are means over the samples."""
        inputs = (batch[name] for name in ("mel", "source", "target", "register_shift"))
        change, weights = self.network.apply(params, *inputs), self.options.weights
        power = changed_power(batch["log_power"], change.db)
        power = perturbed(keys, power, self.options.filter_db, self.options.gain_db)
        embedding = self._critic.apply(self._critic_params, power)
        distance, nearness = distances(embedding, batch["source"], batch["target"])
        spectrum, size = self._spectrum_error_db(change, batch), jnp.mean(change.db**2, axis=(1, 2))
        loss = (
            distance
            + weights.nearness * nearness
            + weights.spectrum * spectrum
            + weights.size * size
            + weights.varying * jnp.mean(change.varying_db**2, axis=(1, 2))
            + weights.smoothness * jnp.mean(jnp.diff(change.varying_db, axis=1) ** 2, axis=(1, 2))
        )  # fmt: skip
        to_source = jnp.sum(embedding * batch["source"], axis=-1)
        metrics = {
            "loss": loss,
            "to_target": 1 - distance,
            "to_source": to_source,
            "nearer": (1 - distance > to_source).astype(jnp.float32),
            "spectrum_db": spectrum,
            "change_db": jnp.sqrt(size),
            "warp": jnp.abs(change.warp),
        }
        metrics = {name: jnp.mean(value) for name, value in metrics.items()}
        return metrics["loss"], metrics

    def _spectrum_error_db(self, change: TimbreChange, batch: Batch) -> Float[Array, " B"]:
        """How far the change's mean over voiced frames is from that of the speakers' mean spectra, gain aside."""
        voiced = batch["voiced"][..., None]
        count = jnp.sum(voiced, axis=1)
        mean = jnp.sum(change.db * voiced, axis=1) / jnp.maximum(count, 1)
        basis = cosines(self.model.cosines, np.arange(self.model.mel_bands), self.model.mel_bands)[1:]
        difference = (mean - batch["spectrum_db"]) @ basis.T * (2 / self.model.mel_bands) @ basis
        return jnp.where(count[:, 0] >= MIN_VOICED_FRAMES, jnp.mean(jnp.abs(difference), axis=-1), 0)

    def data(self, split: str, batch_size: int, first_sample: int = 0) -> grain.IterDataset:
        excerpts, settings = self._excerpts(split), self.audio
        draw = functools.partial(draw_sample, excerpts=excerpts, sampling=self.sampling, config=settings)
        return pipeline.build(excerpts, draw, batch_size, **self.reading_options(split, first_sample))

    def sample_names(self, records: np.ndarray) -> list[str]:
        """The utterances behind record numbers of the training data, whose records are excerpts."""
        data = self.config.data
        return utterance_ids(data.data_dir, data.datasets, "train", self._excerpts("train").record[records])

    @functools.cached_property
    def sampling(self) -> Sampling:
        """How samples are drawn."""
        options = self.options
        return Sampling(
            options.window_frames, options.shifts_semitones, options.register_error_semitones, options.mixed_share
        )

    def _load_excerpts(self, split: str) -> Excerpts:
        data, options = self.config.data, self.options
        origin = {
            "data": [split, [[name, dataset_info(data.data_dir, name)] for name in data.datasets]],
            "options": [options.excerpt_frames, options.utterances_per_speaker, options.shifts_semitones],
        }
        source = open_split(data.data_dir, data.datasets, split, FIELDS)
        sizes = (options.excerpt_frames, options.utterances_per_speaker)
        return load_excerpts(
            source, self.audio, self.sampling, *sizes, self._workdir / "excerpts" / f"{split}.npz", origin
        )
