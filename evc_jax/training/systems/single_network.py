"""What trainings of one network with one loss share, and those among them that learn on parts of utterances."""

from __future__ import annotations

import abc
import functools
from typing import Any, ClassVar

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from etils import epath

from evc_jax.audio.config import AudioConfig
from evc_jax.data import pipeline
from evc_jax.data.dataset import DEFAULT_CACHE_BYTES, audio_config, open_split, utterance_ids
from evc_jax.models.network import Network
from evc_jax.pretrained.start import initial_params
from evc_jax.training.config import TrainConfig
from evc_jax.training.parallel import mean_gradients
from evc_jax.training.state import TrainState, apply_gradients, make_optimizer, sample_keys, start_ema, update_ema
from evc_jax.training.system import Batch, Metrics, System


class SingleNetworkSystem(System):
    """The part of a training that does not depend on the network."""

    network_type: ClassVar[type]

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        super().__init__(config, workdir)
        self.model = config.network_config(self.config_type)
        self.network = Network(self.network_type, self.model)
        self.optimizer = make_optimizer(config.optimizer, config.steps)

    @abc.abstractmethod
    def loss(self, params: Any, batch: Batch, keys: jax.Array) -> tuple[jax.Array, Metrics]:
        """Loss and metrics, means over the samples; `keys` [B] are the samples' own."""

    def init(self, key: jax.Array) -> TrainState:
        origin = self.origin
        params = initial_params(origin, self.config.system, self.network) if origin else self.network.init(key)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=self.optimizer.init(params),
            ema=start_ema(params, self.config.ema_decay),
        )

    def step(self, state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        inputs = (batch, sample_keys(key, state.step, batch["index"]))
        grads, metrics = mean_gradients(
            lambda params, part: self.loss(params, *part), state.params, inputs, self.config.accumulate
        )
        params, opt_state = apply_gradients(self.optimizer, grads, state.params, state.opt_state)
        state = TrainState(
            step=state.step + 1,
            params=params,
            opt_state=opt_state,
            ema=update_ema(state.ema, params, self.config.ema_decay, state.step),
        )
        return state, {**metrics, "grad_norm": optax.global_norm(grads)}

    def evaluate(self, state: TrainState, batch: Batch, key: jax.Array) -> Metrics:
        return self.loss(self.evaluation_params(state), batch, sample_keys(key, 0, batch["index"]))[1]

    def evaluation_params(self, state: TrainState) -> Any:
        return state.params if state.ema is None else state.ema

    @functools.cached_property
    def audio(self) -> AudioConfig:
        """The settings of the data's features."""
        return audio_config(self.config.data.data_dir, self.config.data.datasets)

    def sample_names(self, records: np.ndarray) -> list[str]:
        """The utterances behind record numbers of the training data."""
        return utterance_ids(self.config.data.data_dir, self.config.data.datasets, "train", records)


class UtteranceSystem(SingleNetworkSystem):
    """A training on random parts of utterances, each read when it is needed."""

    @abc.abstractmethod
    def reading(self, split: str) -> tuple[tuple[str, ...], pipeline.Transform]:
        """The fields of records that are read, and what makes a sample of a record."""

    def data(
        self, split: str, batch_size: int, first_sample: int = 0, cache_bytes: int = DEFAULT_CACHE_BYTES
    ) -> grain.IterDataset:
        data, (fields, transform) = self.config.data, self.reading(split)
        source = open_split(data.data_dir, data.datasets, split, fields, cache_bytes)
        return pipeline.build(source, transform, batch_size, **self.reading_options(split, first_sample))
