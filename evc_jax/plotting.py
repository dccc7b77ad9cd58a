"""Pictures of recordings: mel-spectrogram with the F0 on top. Drawn without a display."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evc_jax.audio import AudioConfig
from evc_jax.conversion import Conversion

F0_AXIS_HZ = (50, 500)
_INK = "#7d8590"  # readable on white and on black, as the background is transparent
_F0_COLOUR = "#7df9ff"


@dataclass(frozen=True, eq=False)
class Panel:
    """One recording in a picture.

    Attributes:
      title: written above it; may be empty.
      mel: in [0, 1].
      f0_hz: 0 where unvoiced; as many frames as the mel.
    """

    title: str
    mel: Float[np.ndarray, "T F"]
    f0_hz: Float[np.ndarray, " T"]


def draw_conversion(path: str | os.PathLike, conversion: Conversion, title: str = "output") -> None:
    """Draws the source and the output of a conversion, one above the other, as a PNG file."""
    panels = [
        Panel("source", conversion.source.mel, conversion.source.f0_hz),
        Panel(title, conversion.mel, conversion.f0_hz),
    ]
    draw_panels(path, panels, conversion.config)


def draw_panels(
    path: str | os.PathLike, panels: Sequence[Panel], config: AudioConfig, size_inches: tuple[float, float] = (7.0, 2.2)
) -> None:
    """Draws panels below each other on one time axis; the file appears whole or not at all.

    Args:
      path: PNG file to write.
      panels: from top to bottom.
      config: frame rate and frequency range of the mels.
      size_inches: width of the picture and height of a panel.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = size_inches
    figure = Figure(figsize=(width, height * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    rows = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axes, panel in zip(rows, panels, strict=True):
        _draw_panel(axes, panel, config)
    rows[-1].set_xlabel("time in s", color=_INK, fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(picture.getvalue())
    beside.replace(path)


def _draw_panel(axes, panel: Panel, config: AudioConfig) -> None:
    frame_s = config.hop_samples / config.sample_rate_hz
    duration_s = len(panel.mel) * frame_s
    bands = panel.mel.shape[1]
    axes.imshow(
        panel.mel.T, origin="lower", aspect="auto", cmap="magma", vmin=0.1, vmax=0.9, extent=(0, duration_s, 0, bands)
    )
    axes.set_yticks(*_frequency_ticks(config))
    axes.set_ylabel("kHz", color=_INK, fontsize=8)
    if panel.title:
        axes.set_title(panel.title, color=_INK, fontsize=9, loc="left")
    melody = axes.twinx()
    times_s = (np.arange(len(panel.f0_hz)) + 0.5) * frame_s
    f0_hz = np.where(panel.f0_hz > 0, panel.f0_hz, np.nan)
    melody.plot(times_s, f0_hz, color="black", linewidth=3.2, alpha=0.6)
    melody.plot(times_s, f0_hz, color=_F0_COLOUR, linewidth=1.6)
    melody.set_yscale("log")
    melody.set_ylim(F0_AXIS_HZ)
    melody.set_yticks([50, 100, 200, 400], ["50", "100", "200", "400"])
    melody.minorticks_off()
    melody.set_ylabel("F0 in Hz", color=_INK, fontsize=8)
    for each in (axes, melody):
        each.tick_params(colors=_INK, labelsize=7)
        for spine in each.spines.values():
            spine.set_visible(False)


def _frequency_ticks(config: AudioConfig) -> tuple[list[float], list[str]]:
    """Positions in bands and labels in kHz, at the band whose filter peaks nearest."""
    from evc_jax import audio

    peaks = audio.mel_filters(config).argmax(1) * config.sample_rate_hz / config.window_samples
    wanted_hz = [hz for hz in (500, 1000, 2000, 4000) if hz < config.mel_max_hz]
    return [float(np.abs(peaks - hz).argmin()) + 0.5 for hz in wanted_hz], [f"{hz / 1000:g}" for hz in wanted_hz]
