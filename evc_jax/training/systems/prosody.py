"""Training the prosody network on pairs of recordings of one speaker.

NOTE: CodeGAN's cycle and identity losses do without pairs. Acted corpora are parallel: here the speaker's own take with
the emotion says what to change, and a take with the same emotion what to leave.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from etils import epath

from evc_jax.config import from_mapping
from evc_jax.data import pipeline
from evc_jax.data.dataset import open_split, utterance_ids
from evc_jax.errors import ConfigError
from evc_jax.features.prosody import CEPSTRA
from evc_jax.models.prosody import ProsodyConfig, ProsodyNetwork, change_statistics
from evc_jax.training.config import TrainConfig
from evc_jax.training.system import Batch, Metrics, check_emotions
from evc_jax.training.systems.prosody_data import FIELDS, PairedSplit, pair_split, read_utterances
from evc_jax.training.systems.single_network import SingleNetworkSystem


@dataclass(frozen=True)
class Options:
    """What is converted to what, and what counts how much.

    Attributes:
      emotions: the emotions to convert to; empty for those of the training data, see `training.emotions`.
      other_sources: pairs for each target that start from another emotion than neutral.
      loudness_weight, shape_weight: of a decibel of the first and of each other cepstrum, beside a semitone's 1.
      duration_weight: of the logarithm of the local duration.
      recognition_weight: of the cross-entropy of changes being recognised as the wished emotion, by a recogniser that
        learns on the speakers' own changes from neutral to the strongest. NOTE: CodeGAN's classification loss without
        its critic.
      noise: deviation of what is added to the network's inputs.
    """

    emotions: tuple[str, ...] = ()
    other_sources: int = 2
    loudness_weight: float = 0.5
    shape_weight: float = 0.6
    duration_weight: float = 6.0
    recognition_weight: float = 2.0
    noise: float = 0.1

    def __post_init__(self):
        check_emotions(self.emotions)
        sizes = (self.loudness_weight, self.shape_weight, self.duration_weight, self.recognition_weight, self.noise)
        if min(*sizes, self.other_sources) < 0:
            raise ConfigError("config.options has a negative weight, noise or number of sources; give 0 or more.")


class ProsodySystem(SingleNetworkSystem):
    """The prosody network's loss and data."""

    network_type, config_type, options_type = ProsodyNetwork, ProsodyConfig, Options
    options: Options
    model: ProsodyConfig

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        options = from_mapping(Options, config.options, "config.options")
        model = {**config.model, "emotions": len(options.emotions)}
        super().__init__(dataclasses.replace(config, model=model), workdir)

    def loss(self, params: Any, batch: Batch, keys: jax.Array) -> tuple[jax.Array, Metrics]:
        """See `_score`; with noise on the inputs, and dropout. Each sample's are its own, on any number of devices."""

        def change_of(track, summary, emotion, key):
            noise_keys = jax.random.split(key)
            track = track + self.options.noise * jax.random.normal(noise_keys[0], track.shape)
            summary = summary + 3 * self.options.noise * jax.random.normal(noise_keys[1], summary.shape)
            inputs = (track[None], summary[None], emotion[None])
            return self.network.apply(params, *inputs, key=jax.random.fold_in(key, 2))[0]

        change = jax.vmap(change_of)(batch["track"], batch["summary"], self._emotion(batch), keys)
        loss, metrics = self._score(change, batch)
        recognition, known = self._recognition(params, change, batch)
        return loss + self.options.recognition_weight * recognition, {**metrics, **known}

    def evaluate(self, state: Any, batch: Batch, key: jax.Array) -> Metrics:
        params = self.evaluation_params(state)
        change = self.network.apply(params, batch["track"], batch["summary"], self._emotion(batch))
        return {**self._score(change, batch)[1], **self._recognition(params, change, batch)[1]}

    def _recognition(self, params: Any, change: jax.Array, batch: Batch) -> tuple[jax.Array, Metrics]:
        """Cross-entropies of the speakers' own changes, which the recogniser learns, and of the network's."""
        fixed = {**params, "recogniser": jax.lax.stop_gradient(params["recogniser"])}
        weight = batch["pair_weight"] * batch["from_neutral"] * (batch["intensity"] == 1)

        def entropy(parameters, values):
            statistics = change_statistics(batch["track"], values, batch["mask"])
            logits = self.network.apply(parameters, statistics, method="recognise")
            return jnp.mean(weight * optax.softmax_cross_entropy_with_integer_labels(logits, batch["emotion"]))

        real, made = entropy(params, batch["change"]), entropy(fixed, change)
        return real + made, {"real_recognition": real, "recognition": made}

    def _emotion(self, batch: Batch) -> jax.Array:
        return batch["intensity"][:, None] * jax.nn.one_hot(batch["emotion"], self.model.emotions)

    def _score(self, change: jax.Array, batch: Batch) -> tuple[jax.Array, Metrics]:
        """Mean absolute error over the frames that are known; of unaligned pairs the error of the frames' mean."""
        difference = (change - batch["change"]) * batch["mask"]
        counts = jnp.maximum(batch["mask"].sum(axis=1), 1)
        framewise, of_mean = jnp.abs(difference).sum(axis=1) / counts, jnp.abs(difference.sum(axis=1)) / counts
        errors = jnp.where(batch["aligned"][:, None] > 0, framewise, of_mean)
        mean = jnp.mean(batch["pair_weight"][:, None] * errors, axis=0)
        loss = mean @ self._weights
        shape = mean[2 : 1 + CEPSTRA].mean()
        metrics = {"f0_semitones": mean[0], "loudness_db": mean[1], "shape_db": shape, "log_duration": mean[-1]}
        return loss, {"loss": loss, **metrics}

    @property
    def _weights(self) -> jax.Array:
        options = self.options
        shape = [options.shape_weight] * (CEPSTRA - 1)
        return jnp.asarray([1.0, options.loudness_weight, *shape, options.duration_weight])

    def data(self, split: str, batch_size: int, first_sample: int = 0) -> grain.IterDataset:
        return pipeline.build(self.records(split), None, batch_size, **self.reading_options(split, first_sample))

    @functools.lru_cache(maxsize=2)  # noqa: B019
    def records(self, split: str) -> PairedSplit:
        """The windows of all pairs of a split."""
        data = self.config.data
        utterances, groups = [], []
        for name in data.datasets:
            found = read_utterances(open_split(data.data_dir, [name], split, FIELDS), self.audio)
            utterances += found
            groups += [name] * len(found)
        # A small validation split lacks some, and what the training starts with may know more.
        all_needed = split == "train" and not self.config.init_from
        return pair_split(utterances, self.options.emotions, groups, self.options.other_sources, all_needed)

    def sample_names(self, records: np.ndarray) -> list[str]:
        """The sources behind record numbers of the training data."""
        data = self.config.data
        return utterance_ids(data.data_dir, data.datasets, "train", self.records("train").source[records])
