"""Training the F0 converter: lay a pitch contour onto another utterance's rhythm.

Source: Qian et al. 2020, arXiv 2004.11284, appendix B.2. It learns on single utterances: the rhythm code comes from the
clean mel, the pitch code from the resampled contour, the target is the clean contour's class in every frame.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax

from evc_jax.features.f0_codes import quantize_f0
from evc_jax.models.speechsplit.config import F0ConverterConfig
from evc_jax.models.speechsplit.network import F0Converter
from evc_jax.training.system import Batch, Metrics
from evc_jax.training.systems.speechsplit import CropSystem


class F0ConverterSystem(CropSystem):
    """The F0 converter's loss."""

    network_type, config_type = F0Converter, F0ConverterConfig
    model: F0ConverterConfig

    def loss(self, params: Any, batch: Batch, keys: jax.Array) -> tuple[jax.Array, Metrics]:
        """Cross-entropy over the padded crop; `accuracy` is the share of frames whose class is within 5 of the true."""
        _, f0, resamplings = self.resampled_inputs(batch, keys, self.model.pitch.blocks)
        logits = self.network.apply(params, batch["mel"], f0, resamplings=resamplings)
        target = quantize_f0(batch["f0"], self.model.f0_classes)
        loss = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, target))
        exists = jnp.arange(target.shape[1])[None, :] < batch["length"][:, None]
        guess = jnp.argmax(logits, axis=-1)
        # Class 0 is unvoiced: it is right only where both classes are 0.
        right = (jnp.abs(guess - target) <= 5) & ((guess == 0) == (target == 0))
        # Per sample first: a mean over devices must not depend on how samples lie over them.
        return loss, {"loss": loss, "accuracy": jnp.mean(jnp.mean(right, axis=1, where=exists))}
