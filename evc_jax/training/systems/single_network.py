"""What the trainings of SpeechSplit, the F0 converter and WaveGlow share: one network, one loss."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from evc_jax.data.dataset import utterance_ids
from evc_jax.models.network import Network
from evc_jax.training.config import TrainConfig, inference_config
from evc_jax.training.parallel import mean_gradients
from evc_jax.training.state import TrainState, apply_gradients, make_optimizer, sample_keys, start_ema, update_ema

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]


class SingleNetworkSystem:
    """The part of a training that does not depend on the network.

    A system has a loss of its own: `loss(params, batch, keys) -> loss, metrics`, a mean over the samples, of which
    `keys` [B] are the samples' own.
    """

    def __init__(self, config: TrainConfig, network_type: type, model: Any):
        self.config, self.model = config, model
        self.network = Network(network_type, model)
        self.optimizer = make_optimizer(config.optimizer, config.steps)

    def init(self, key: jax.Array) -> TrainState:
        params = self.network.init(key)
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

    def networks(self) -> dict[str, dict[str, Any]]:
        return {self.config.system: inference_config(self.model)}

    def inference_params(self, state: TrainState) -> dict[str, Any]:
        return {self.config.system: self.evaluation_params(state)}

    def evaluation_params(self, state: TrainState) -> Any:
        """The weights to validate and to use: their moving average where there is one."""
        return state.params if state.ema is None else state.ema

    def sample_names(self, records: np.ndarray) -> list[str]:
        """The utterances behind record numbers of the training data."""
        return utterance_ids(self.config.data.data_dir, self.config.data.datasets, "train", records)
