"""Training the F0 converter: lay a pitch contour onto another utterance's rhythm.

Source: arXiv 2004.11284, appendix B.2. It learns on single utterances: the rhythm code comes from the clean mel, the
pitch code from the resampled contour, the target is the clean contour's class in every frame.
"""

from __future__ import annotations

from typing import Any

import grain
import jax
import jax.numpy as jnp
import optax
from etils import epath

from evc_jax.config import from_mapping, to_mapping
from evc_jax.models.layers import Network
from evc_jax.models.speechsplit import F0Converter, F0ConverterConfig
from evc_jax.pitch import quantize_f0
from evc_jax.training.config import TrainConfig
from evc_jax.training.parallel import mean_over_devices
from evc_jax.training.speechsplit import Batch, Options, crop_data, resampled_inputs
from evc_jax.training.state import TrainState, apply_gradients, make_optimizer, sample_keys


class F0ConverterSystem:
    """The F0 converter's loss and step."""

    def __init__(self, config: TrainConfig, workdir: epath.Path):
        del workdir  # nothing is computed once
        self.config = config
        self.options = from_mapping(Options, config.options, "config.options")
        self.model = from_mapping(F0ConverterConfig, config.model, "config.model")
        self.network = Network(F0Converter, self.model)
        self.optimizer = make_optimizer(config.optimizer, config.steps)

    def init(self, key: jax.Array) -> TrainState:
        params = self.network.init(key)
        return TrainState(step=jnp.zeros((), jnp.int32), params=params, opt_state=self.optimizer.init(params))

    def loss(self, params: Any, batch: Batch, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Cross-entropy over the padded crop, and the share of existing frames whose class is within 5 of the true."""
        model, share = self.model, self.options.resampled_share
        _, f0, resamplings = resampled_inputs(
            batch, keys, model.resampling, share, model.f0_classes, model.pitch.blocks
        )
        logits = self.network.apply(params, batch["mel"], f0, resamplings=resamplings)
        target = quantize_f0(batch["f0"], model.f0_classes)
        loss = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, target))
        exists = jnp.arange(target.shape[1])[None, :] < batch["length"][:, None]
        guess = jnp.argmax(logits, axis=-1)
        # Class 0 is unvoiced: it is right only when both say so.
        right = (jnp.abs(guess - target) <= 5) & ((guess == 0) == (target == 0))
        # Per sample first: a mean over devices must not depend on how samples lie over them.
        return loss, jnp.mean(jnp.mean(right, axis=1, where=exists))

    def step(self, state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, dict[str, jax.Array]]:
        keys = sample_keys(key, state.step, batch["index"])
        (loss, accuracy), grads = jax.value_and_grad(self.loss, has_aux=True)(state.params, batch, keys)
        loss, accuracy, grads = mean_over_devices((loss, accuracy, grads))
        params, opt_state = apply_gradients(self.optimizer, grads, state.params, state.opt_state)
        metrics = {"loss": loss, "accuracy": accuracy, "grad_norm": optax.global_norm(grads)}
        return TrainState(step=state.step + 1, params=params, opt_state=opt_state), metrics

    def evaluate(self, state: TrainState, batch: Batch, key: jax.Array) -> dict[str, jax.Array]:
        loss, accuracy = self.loss(state.params, batch, sample_keys(key, 0, batch["index"]))
        return {"loss": loss, "accuracy": accuracy}

    def data(self, split: str, batch_size: int) -> grain.IterDataset:
        return crop_data(self.config, self.options, self.model.resampling, split, batch_size)

    def networks(self) -> dict[str, dict[str, Any]]:
        return {"f0_converter": to_mapping(self.model)}

    def exported(self, state: TrainState) -> dict[str, Any]:
        return {"f0_converter": state.params}
