"""Training WaveGlow: maximum likelihood of waveform segments given their mel-spectrogram. Source: arXiv 1811.00002."""

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
from evc_jax.models.layers import Network
from evc_jax.models.waveglow import WaveGlow, WaveGlowConfig, waveglow_loss
from evc_jax.training.config import TrainConfig
from evc_jax.training.parallel import mean_over_devices
from evc_jax.training.state import TrainState, apply_gradients, make_optimizer

Batch = dict[str, jax.Array]


@dataclass(frozen=True)
class Options:
    """Segments of `segment_samples`, and the standard deviation `sigma` of the latent's prior."""

    segment_samples: int = 12_000
    sigma: float = 1.0


class WaveGlowSystem:
    """The vocoder's loss and step."""

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        del workdir  # nothing is computed once
        self.config = config
        self.options = from_mapping(Options, config.options, "config.options")
        self.model = from_mapping(WaveGlowConfig, config.model, "config.model")
        self.network = Network(WaveGlow, self.model)
        self.optimizer = make_optimizer(config.optimizer, config.steps)

    def init(self, key: jax.Array) -> TrainState:
        params = self.network.init(key)
        return TrainState(step=jnp.zeros((), jnp.int32), params=params, opt_state=self.optimizer.init(params))

    def loss(self, params: Any, batch: Batch) -> jax.Array:
        """Negative log-likelihood per latent value, without the prior's constant."""
        return waveglow_loss(self.network.apply(params, batch["audio"], batch["mel"]), self.options.sigma)

    def step(self, state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        del key  # nothing in this loss is random
        loss, grads = mean_over_devices(jax.value_and_grad(self.loss)(state.params, batch))
        params, opt_state = apply_gradients(self.optimizer, grads, state.params, state.opt_state)
        metrics = {"loss": loss, "grad_norm": optax.global_norm(grads)}
        return TrainState(step=state.step + 1, params=params, opt_state=opt_state), metrics

    def evaluate(self, state: TrainState, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
        del key
        return {"loss": self.loss(state.params, batch)}

    def data(self, split: str, batch_size: int) -> grain.IterDataset:
        data = self.config.data
        return pipeline.waveglow_pipeline(
            open_split(data.data_dir, data.datasets, split, pipeline.WAVEGLOW_FIELDS),
            pipeline.SegmentConfig(self.options.segment_samples, self.model.upsample_stride),
            batch_size,
            self.config.seed,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            read_threads=data.read_threads,
            train=split == "train",
        )

    def networks(self) -> dict[str, dict[str, Any]]:
        return {"waveglow": to_mapping(self.model)}

    def exported(self, state: TrainState) -> dict[str, Any]:
        return {"waveglow": state.params}
