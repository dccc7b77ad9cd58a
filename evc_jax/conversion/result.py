"""What a conversion and a transfer give."""

from __future__ import annotations

import base64
import functools
import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from evc_jax.audio import io as audio_io
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.formats import OUTPUT_FORMATS
from evc_jax.conversion.aspects import TransferAspects
from evc_jax.conversion.settings import metadata_text
from evc_jax.errors import EvcError
from evc_jax.features import pitch
from evc_jax.features.extract import Features

if TYPE_CHECKING:
    from evc_jax.audio.plotting import AnyPanel

LONGEST_SHOWN_S = 120.0  # of sound in a notebook, which keeps all of it in its file


@dataclass(frozen=True, eq=False, repr=False)
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
      emotions: their names.
      settings: what was asked for, as `settings.settings_of` has it; None where only the features were converted.
    """

    audio: Float[np.ndarray, " S"]
    sample_rate_hz: int
    mel: Float[np.ndarray, "T F"]
    embedding: Float[np.ndarray, " C"]
    source: Features
    config: AudioConfig
    positions: Float[np.ndarray, " T"] | None = None
    emotion_weights: Float[np.ndarray, "T2 K"] | None = None
    emotions: tuple[str, ...] = ()
    settings: Mapping[str, Any] | None = None

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

    def __repr__(self) -> str:
        asked = {name: value for name, value in (self.settings or {}).items() if name != "evc_jax"}
        words = "".join(f", {name}={value!r}"[:60] for name, value in asked.items())
        duration_s = len(self.audio) / self.sample_rate_hz
        return f"{type(self).__name__}({duration_s:.2f} s at {self.sample_rate_hz} Hz{words})"

    def save(self, path: str | os.PathLike, sample_rate_hz: int | None = None) -> Path:
        """Writes the sound as `evc convert` does, with what was asked for in its metadata.

        Args:
          path: a file, whose suffix names one of `audio.formats.OUTPUT_FORMATS`.
          sample_rate_hz: of the file; None is that of the sound.

        Returns:
          the path.

        Raises:
          AudioError: it cannot be written.
        """
        audio_io.save(path, self.audio, self.sample_rate_hz, metadata_text(self.settings), sample_rate_hz)
        return Path(path)

    def play(self) -> None:
        """Shows the player and the picture in a notebook.

        Raises:
          EvcError: this is no notebook.
        """
        try:
            from IPython import display, get_ipython
        except ImportError:
            get_ipython = None
        if get_ipython is None or get_ipython() is None or not hasattr(get_ipython(), "kernel"):
            raise EvcError("Sound is played in a notebook only; write it with save(path) and play the file.")
        display.display(self)

    def _repr_html_(self) -> str:
        """A player and the picture of source and result, for notebooks; the beginning of long sounds only."""
        shown = self.audio[: round(LONGEST_SHOWN_S * self.sample_rate_hz)]
        sound = audio_io.sound_bytes(shown, self.sample_rate_hz, OUTPUT_FORMATS[".wav"])
        cut = f", of which the first {LONGEST_SHOWN_S:g} s are here" if len(shown) < len(self.audio) else ""
        picture = "" if cut else f'<br><img alt="source and result" src="{_data_uri("image/png", self._picture())}">'
        player = f'<audio controls src="{_data_uri("audio/wav", sound)}"></audio>'
        return f"<div>{html.escape(repr(self))}{cut}<br>{player}{picture}</div>"

    def _picture(self) -> bytes:
        from evc_jax.audio.plotting import picture_of_panels, png_bytes

        return png_bytes(picture_of_panels(self._panels(), self.config))

    def _panels(self) -> list[AnyPanel]:
        from evc_jax.conversion.picture import conversion_panels  # which needs this module

        return conversion_panels(self, self.emotions, "result")


@dataclass(frozen=True, eq=False, repr=False)
class Transfer(Conversion):
    """A recording with aspects of another one, as long as the rhythm's owner.

    Attributes:
      target: features of the recording that the aspects come from.
      aspects: which they are.
    """

    target: Features = field(kw_only=True)
    aspects: TransferAspects = field(kw_only=True)

    def _panels(self) -> list[AnyPanel]:
        from evc_jax.conversion.picture import transfer_panels

        return transfer_panels(self, "result")


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
