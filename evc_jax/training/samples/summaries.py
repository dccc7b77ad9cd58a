"""Pictures and sounds for TensorBoard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from evc_jax.audio.plotting import Picture
from evc_jax.training.metrics_writer import tensorboard


@dataclass(frozen=True, eq=False)
class Summary:
    """A picture or a sound.

    Attributes:
      name: TensorBoard's tag. A tag is either that of pictures or that of sounds, never of both.
      image: pixels; None for a sound.
      audio: samples within [-1, 1]; None for a picture.
      rate_hz: the sound's rate; 0 for a picture.
    """

    name: str
    image: Picture | None = None
    audio: Float32[np.ndarray, " S"] | None = None
    rate_hz: int = 0

    def to_protobuf(self) -> Any:
        """The message that TensorBoard reads."""
        if self.image is not None:
            return tensorboard().summary.image(self.name, self.image, dataformats="HWC")
        return tensorboard().summary.audio(self.name, self.audio, self.rate_hz)


def sound(name: str, audio: np.ndarray, rate_hz: int) -> Summary:
    """A sound; peaks above 1 are scaled down, never wrapped or cut. `audio` is [S]."""
    peak = np.abs(audio).max(initial=1.0)
    return Summary(name, audio=(audio / peak).astype(np.float32), rate_hz=rate_hz)
