"""Training WaveGlow: maximum likelihood of waveform segments given their mel-spectrogram.

Source: Prenger et al. 2018, arXiv 1811.00002; segments and batch are those of emo-clone's WaveGlow.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax

from evc_jax.data import pipeline
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.models.waveglow.network import WaveGlow, waveglow_loss
from evc_jax.training.system import Batch, Metrics
from evc_jax.training.systems.single_network import UtteranceSystem


@dataclass(frozen=True)
class Options:
    """Segments, prior and memory.

    Attributes:
      segment_samples: length of the segments.
      sigma: standard deviation of the latent's prior.
      remat: a third more arithmetic for a fraction of the memory; see `WaveGlow`.
    """

    segment_samples: int = 12_000
    sigma: float = 1.0
    remat: bool = False


class WaveGlowSystem(UtteranceSystem):
    """The vocoder's loss and data."""

    network_type, config_type, options_type = WaveGlow, WaveGlowConfig, Options
    options: Options
    model: WaveGlowConfig

    def loss(self, params: Any, batch: Batch, keys: jax.Array) -> tuple[jax.Array, Metrics]:
        """Negative log-likelihood per sample of the recording, without the prior's constant."""
        del keys  # nothing in this loss is random
        options = self.options
        output = self.network.apply(params, batch["audio"], batch["mel"], remat=options.remat)
        loss = waveglow_loss(output, options.sigma)
        if self.model.prior == "shaped":  # constant, but losses of both priors are comparable with it
            loss += batch["log_gain"].mean()
        return loss, {"loss": loss}

    def reading(self, split: str) -> tuple[tuple[str, ...], pipeline.Transform]:
        segments = pipeline.SegmentConfig(self.options.segment_samples, self.model.upsample_stride)
        cut: pipeline.Transform = functools.partial(pipeline.cut_segment, config=segments)
        if self.model.prior == "shaped":
            cut = functools.partial(pipeline.cut_whitened_segment, config=segments, audio=self.audio)
        return pipeline.WAVEGLOW_FIELDS, cut
