"""Pictures of recordings: mel-spectrograms with the F0 on top, and F0 contours. Drawn without a display."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from evc_jax.audio.config import AudioConfig
from evc_jax.files import atomic_file

F0_AXIS_HZ = (50.0, 500.0)
DARK_INK = "#24292f"
_F0_COLOUR = "#7df9ff"
_MEL_RANGE = (0.1, 0.9)  # of the mel's [0, 1]: the span of the colors
_SCREEN_DPI = 100

Picture = UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True, eq=False)
class Panel:
    """One recording in a picture.

    Attributes:
      title: written above it; may be empty.
      mel: in [0, 1].
      f0_hz: 0 where unvoiced; as many frames as the mel.
      reference_f0_hz: another contour to compare with, drawn thin and dashed; None draws none.
    """

    title: str
    mel: Float[np.ndarray, "T F"]
    f0_hz: Float[np.ndarray, " T"]
    reference_f0_hz: Float[np.ndarray, " T"] | None = None


@dataclass(frozen=True, eq=False)
class Curve:
    """One F0 contour in a picture of several; 0 where unvoiced. `style` is Matplotlib's line style."""

    label: str
    f0_hz: Float[np.ndarray, " T"]
    color: str
    style: str = "-"
    width: float = 2.0


@dataclass(frozen=True, eq=False)
class CurvePanel:
    """F0 contours over the pale mel-spectrogram, in [0, 1], whose timing they share."""

    title: str
    mel: Float[np.ndarray, "T F"]
    curves: tuple[Curve, ...]


def draw_panels(path: str | os.PathLike, panels: Sequence[Panel], config: AudioConfig) -> None:
    """Writes `picture_of_panels` as a PNG file, which appears whole or not at all."""
    picture = picture_of_panels(panels, config)  # which imports Matplotlib with care
    from matplotlib.image import imsave

    with atomic_file(path) as beside:
        imsave(beside, picture, format="png")


def picture_of_panels(panels: Sequence[Panel], config: AudioConfig, title: str = "") -> Picture:
    """The panels below each other on one time axis and one scale of decibels, as pixels on white.

    Args:
      panels: from top to bottom.
      config: frame rate, frequency range and decibels of the mels.
      title: of the whole picture.
    """
    figure, rows = _rows(len(panels), 1.75, 0.6, title)
    for axes, panel in zip(rows, panels, strict=True):
        image = _draw_panel(axes, panel, config)
    bar = figure.colorbar(image, ax=list(rows), pad=0.02, aspect=15 * len(panels), extend="both")
    bar.set_label("mel magnitude in dB", color=DARK_INK, fontsize=9)
    bar.ax.tick_params(colors=DARK_INK, labelsize=8)
    return render(figure)


def picture_of_curves(panels: Sequence[CurvePanel], config: AudioConfig, title: str = "") -> Picture:
    """F0 contours to compare, each panel with its legend, as pixels on white; see `picture_of_panels`."""
    figure, rows = _rows(len(panels), 2.6, 0.5, title)
    for axes, panel in zip(rows, panels, strict=True):
        _draw_mel(axes.twinx(), panel.mel, config, (0.2, 1.8), cmap="Greys").axes.set_yticks([])
        axes.set_zorder(1)
        axes.patch.set_visible(False)
        for curve in panel.curves:
            _draw_f0(axes, curve.f0_hz, config, curve.color, curve.width, curve.style, curve.label)
        _f0_axis(axes, ticks_hz=(50, 75, 100, 150, 200, 300, 400))
        axes.grid(axis="y", color=DARK_INK, alpha=0.15, linewidth=0.6)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8.5, labelcolor=DARK_INK)
        _finish(axes, panel.title)
    return render(figure)


def new_figure(width_inches: float, height_inches: float, title: str = ""):
    """A Matplotlib figure on Agg's canvas, laid out by itself; nothing global is touched."""
    # Where there is no home for its settings, Matplotlib takes a temporary folder, with two long warnings.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), dpi=_SCREEN_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        # A name may hold dollar signs, which would start a formula.
        figure.suptitle(title, color=DARK_INK, fontsize=11, x=0.01, ha="left", parse_math=False)
    return figure


def render(figure) -> Picture:
    """The pixels of a figure of `new_figure`."""
    figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]


def _draw_panel(axes, panel: Panel, config: AudioConfig):
    """Draws the panel; returns the image of the mel, for a color bar."""
    image = _draw_mel(axes, panel.mel, config, _MEL_RANGE, cmap="magma")
    axes.set_yticks(*_frequency_ticks(config))
    axes.set_ylabel("kHz", color=DARK_INK, fontsize=8)
    melody = axes.twinx()
    _draw_f0(melody, panel.f0_hz, config, "black", 3.2, alpha=0.6)
    _draw_f0(melody, panel.f0_hz, config, _F0_COLOUR, 1.6)
    if panel.reference_f0_hz is not None:
        _draw_f0(melody, panel.reference_f0_hz, config, "white", 1.0, (0, (4, 2)))
    _f0_axis(melody)
    _finish(axes, panel.title)
    _finish(melody, "")
    return image


def _draw_mel(axes, mel: np.ndarray, config: AudioConfig, colored: tuple[float, float], cmap: str):
    """The image of a mel in decibels; `colored` is the span of the colors on the mel's own scale."""
    low_db, high_db = ((end - 1) * config.range_db + config.reference_db for end in colored)
    decibels = (mel.T - 1) * config.range_db + config.reference_db
    extent = (0, len(mel) * config.hop_samples / config.sample_rate_hz, 0, mel.shape[1])
    return axes.imshow(decibels, cmap, vmin=low_db, vmax=high_db, origin="lower", aspect="auto", extent=extent)


def _draw_f0(axes, f0_hz: np.ndarray, config: AudioConfig, color: str, width: float, style="-", label=None, alpha=1.0):
    times_s = (np.arange(len(f0_hz)) + 0.5) * config.hop_samples / config.sample_rate_hz
    voiced_hz = np.where(f0_hz > 0, f0_hz, np.nan)
    axes.plot(times_s, voiced_hz, color=color, linewidth=width, linestyle=style, label=label, alpha=alpha)


def _f0_axis(axes, ticks_hz=(50, 100, 200, 400)) -> None:
    axes.set_yscale("log")
    axes.set_yticks(ticks_hz, [f"{hz}" for hz in ticks_hz])
    axes.set_ylim(F0_AXIS_HZ)
    axes.minorticks_off()
    axes.set_ylabel("F0 in Hz", color=DARK_INK, fontsize=8)


def _finish(axes, title: str) -> None:
    if title:
        axes.set_title(title, color=DARK_INK, fontsize=9, loc="left", parse_math=False)
    axes.tick_params(colors=DARK_INK, labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _rows(count: int, height_inches: float, margin_inches: float, title: str):
    """A new figure and its axes, below each other on one time axis."""
    figure = new_figure(8.0, height_inches * count + margin_inches, title)
    rows = figure.subplots(count, 1, squeeze=False, sharex=True)[:, 0]
    rows[-1].set_xlabel("time in s", color=DARK_INK, fontsize=8)
    return figure, rows


def _frequency_ticks(config: AudioConfig) -> tuple[list[float], list[str]]:
    """Positions in bands and labels in kHz, at the band whose filter peaks nearest."""
    from evc_jax.audio.mel import mel_filters

    peaks = mel_filters(config).argmax(1) * config.sample_rate_hz / config.window_samples
    wanted_hz = [hz for hz in (500, 1000, 2000, 4000) if hz < config.mel_max_hz]
    return [float(np.abs(peaks - hz).argmin()) + 0.5 for hz in wanted_hz], [f"{hz / 1000:g}" for hz in wanted_hz]
