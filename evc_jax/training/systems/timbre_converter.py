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

from evc_jax.audio.config import AudioConfig
from evc_jax.data import pipeline
from evc_jax.data.dataset import audio_config, dataset_info, open_split, utterance_ids
from evc_jax.features import speaker
from evc_jax.features.timbre_critic import band_widths_hz, changed_power, distances, from_db
from evc_jax.models import voice_encoder
from evc_jax.models.network import Network
from evc_jax.models.timbre_converter import TimbreChange, TimbreConverter, TimbreConverterConfig, cosines
from evc_jax.training.config import TrainConfig
from evc_jax.training.system import Batch, Metrics
from evc_jax.training.systems.single_network import SingleNetworkSystem
from evc_jax.training.systems.timbre_data import FIELDS, Excerpts, Sampling, draw_sample, load_excerpts

MIN_VOICED_FRAMES = 10
FILTER_COSINES = 8
LOUDEST_NOISE_DB, SOFTEST_NOISE_DB = -25.0, -60.0
STEEPEST_NOISE = -2.0  # exponent of the noise's power over the number of the band


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
    filter_db: float = 1.2
    gain_db: float = 4.0


class TimbreConverterSystem(SingleNetworkSystem):
    """The timbre converter's data and loss."""

    network_type, config_type, options_type = TimbreConverter, TimbreConverterConfig, Options
    options: Options
    model: TimbreConverterConfig

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        super().__init__(config, workdir)
        self._workdir = workdir
        self._excerpts = functools.cache(self._load_excerpts)
        self._critic = Network(voice_encoder.VoiceEncoder, voice_encoder.VoiceEncoderConfig(dtype=config.compute_dtype))
        self._critic_params = voice_encoder.load_params(speaker.WEIGHTS)

    def loss(self, params: Any, batch: Batch, keys: jax.Array) -> tuple[jax.Array, Metrics]:
        """The critic's loss and what bounds the change; metrics are means over the samples."""
        inputs = (batch[name] for name in ("mel", "source", "target", "register_shift"))
        change, weights = self.network.apply(params, *inputs), self.options.weights
        power = jax.vmap(self._perturb)(keys, changed_power(batch["log_power"], change.db))
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

    def _perturb(self, key: jax.Array, power: Float[Array, "T B"]) -> Float[Array, "T B"]:
        """The critic's input through a random smooth filter, with a random gain and noise."""
        filter_key, gain_key, level_key, slope_key = jax.random.split(key, 4)
        bands = speaker.MEL_BANDS
        heights = jax.random.normal(filter_key, (FILTER_COSINES,)) / jnp.sqrt(1.0 + jnp.arange(FILTER_COSINES))
        response_db = self.options.filter_db * heights @ cosines(FILTER_COSINES, np.arange(bands), bands)
        response_db += jax.random.uniform(gain_key, minval=-1, maxval=1) * self.options.gain_db
        power = power * from_db(response_db)
        level = from_db(jax.random.uniform(level_key, minval=SOFTEST_NOISE_DB, maxval=LOUDEST_NOISE_DB))
        noise = jnp.arange(1.0, bands + 1) ** jax.random.uniform(slope_key, minval=STEEPEST_NOISE, maxval=0)
        loudness = jnp.mean(jnp.sum(power * band_widths_hz(), axis=-1)) / jnp.sum(noise * band_widths_hz())
        return power + noise * loudness * level

    def data(self, split: str, batch_size: int, first_sample: int = 0) -> grain.IterDataset:
        excerpts, settings = self._excerpts(split), self._audio
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

    @functools.cached_property
    def _audio(self) -> AudioConfig:
        return audio_config(self.config.data.data_dir, self.config.data.datasets)

    def _load_excerpts(self, split: str) -> Excerpts:
        data, options = self.config.data, self.options
        origin = {
            "data": [split, [[name, dataset_info(data.data_dir, name)] for name in data.datasets]],
            "options": [options.excerpt_frames, options.utterances_per_speaker, options.shifts_semitones],
        }
        source = open_split(data.data_dir, data.datasets, split, FIELDS)
        sizes = (options.excerpt_frames, options.utterances_per_speaker)
        return load_excerpts(
            source, self._audio, self.sampling, *sizes, self._workdir / "excerpts" / f"{split}.npz", origin
        )
