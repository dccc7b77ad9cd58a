"""What a conversion and a transfer give."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from evc_jax.audio.config import AudioConfig
from evc_jax.conversion.aspects import TransferAspects
from evc_jax.features import pitch
from evc_jax.features.extract import Features


@dataclass(frozen=True, eq=False)
class Conversion:
    """A converted recording.

    Attributes:
      audio: float32 [S], as long as the source divided by the requested rate, at the source's level but for the
        requested loudness, and as silent in its pauses (see `audio.pauses`).
      sample_rate_hz: its rate.
      mel: the mel-spectrogram it was synthesized from, or its own where it was rendered from the source; in [0, 1],
        without the loudness.
      embedding: the requested voice.
      source: features of the source.
      config: the settings of the mel.
      positions: the source's frame, with a fraction, of each frame of the output; None where the rate alone gives it.
      emotion_weights: of the bundle's emotions at the source's frames: a point of the simplex times the strength.
    """

    audio: Float[np.ndarray, " S"]
    sample_rate_hz: int
    mel: Float[np.ndarray, "T F"]
    embedding: Float[np.ndarray, " C"]
    source: Features
    config: AudioConfig
    positions: Float[np.ndarray, " T"] | None = None
    emotion_weights: Float[np.ndarray, "T2 K"] | None = None

    @functools.cached_property
    def f0_hz(self) -> Float[np.ndarray, " T"]:
        """F0 of the output, 0 where unvoiced; estimated when first asked for."""
        return pitch.estimate_f0(self.audio, self.config)

    @property
    def rendered_positions(self) -> Float[np.ndarray, " T"]:
        """`positions`, also where the rate alone gives them."""
        if self.positions is not None:
            return self.positions
        return np.arange(len(self.mel)) * (len(self.source.audio) / len(self.audio))


@dataclass(frozen=True, eq=False)
class Transfer(Conversion):
    """A recording with aspects of another one, as long as the rhythm's owner.

    Attributes:
      target: features of the recording that the aspects come from.
      aspects: which they are.
    """

    target: Features = field(kw_only=True)
    aspects: TransferAspects = field(kw_only=True)
