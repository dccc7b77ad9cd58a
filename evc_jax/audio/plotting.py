"""Pictures of recordings: mel-spectrograms, and curves over time such as F0 and level. Drawn without a display."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from evc_jax.audio.config import AudioConfig
from evc_jax.files import atomic_file, printable

F0_AXIS_HZ = (50.0, 600.0)  # the voices whose F0 is found
LEVEL_AXIS_DB = (-45.0, 15.0)  # reaches higher where a level does
DARK_INK = "#24292f"
# Paul Tol's "muted" colors, which differ for all kinds of color vision.
DISTINCT_COLORS = tuple("#88ccee #44aa99 #ddcc77 #332288 #cc6677 #882255 #117733 #aa4499 #999933".split())
_F0_COLOUR = "#7df9ff"
_MEL_RANGE = (0.1, 0.9)  # of the mel's [0, 1]: the span of the colors
_SCREEN_DPI, _SMALL_DPI = 100, 150
_WIDTH_INCHES, _LONGEST_INCHES, _INCHES_PER_S = 8.0, 40.0, 0.8
# Of a longer recording several frames are drawn as one, two pixels wide. Curves would be a scribble where these no
# longer show syllables: they have fewer points, and are an overview.
_MOST_COLUMNS, _OVERVIEW_COLUMNS, _OVERVIEW_FROM_S = 2000, 500, 300.0
_LONGEST_TITLE = 90

Picture = UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True, eq=False)
class Panel:
    """One recording in a picture.

    Attributes:
      title: written above it; may be empty.
      mel: in [0, 1].
      f0_hz: 0 where unvoiced; as many frames as the mel. None draws none.
      reference_f0_hz: another contour to compare with, drawn thin and dashed; None draws none.
    """

    title: str
    mel: Float[np.ndarray, "T F"]
    f0_hz: Float[np.ndarray, " T"] | None = None
    reference_f0_hz: Float[np.ndarray, " T"] | None = None


@dataclass(frozen=True, eq=False)
class Curve:
    """One curve in a picture of several: F0 in Hz, 0 where unvoiced, or a level. `style` is Matplotlib's line style."""

    label: str
    values: Float[np.ndarray, " T"]
    color: str
    style: str | tuple = "-"
    width: float = 2.0


@dataclass(frozen=True, eq=False)
class CurvePanel:
    """F0 contours over the pale mel, in [0, 1], whose timing they share; or without a mel, levels in decibels."""

    title: str
    mel: Float[np.ndarray, "T F"] | None
    curves: tuple[Curve, ...]


@dataclass(frozen=True, eq=False)
class StackPanel:
    """Shares that add up, as a colored band: of each name one of `DISTINCT_COLORS`. Unused names are left out."""

    title: str
    names: tuple[str, ...]
    shares: Float[np.ndarray, "T K"]


AnyPanel = Panel | CurvePanel | StackPanel


def draw_panels(path: str | os.PathLike, panels: Sequence[AnyPanel], config: AudioConfig) -> None:
    """Writes `picture_of_panels` as a PNG file, which appears whole or not at all."""
    _write(path, picture_of_panels(panels, config))


def draw_small_panel(path: str | os.PathLike, mel: np.ndarray, f0_hz: np.ndarray, config: AudioConfig) -> None:
    """Writes a small picture of a recording, see `Panel`, as a PNG file, for a page with many of them."""
    figure, (axes,) = _rows(_WIDTH_INCHES / 2, [1.9], "", _SMALL_DPI)
    _draw_panel(axes, Panel("", mel, f0_hz), config)
    _write(path, render(figure))


def picture_of_panels(panels: Sequence[AnyPanel], config: AudioConfig, title: str = "") -> Picture:
    """The panels below each other on one time axis and one scale of decibels, as pixels on white.

    The picture of a long recording is wider, up to a limit, beyond which several frames are drawn as one.

    Args:
      panels: from top to bottom.
      config: frame rate, frequency range and decibels of the mels.
      title: of the whole picture.
    """
    duration_s = max(_frames_of(panel) for panel in panels) * _frame_s(config)
    width_inches = min(max(_WIDTH_INCHES, duration_s * _INCHES_PER_S), _LONGEST_INCHES)
    figure, rows = _rows(width_inches, [_height_inches(panel) for panel in panels], title)
    for axes, panel in zip(rows, panels, strict=True):
        _DRAWN[type(panel)](axes, panel, config)
    rows[0].set_xlim(0, duration_s)
    if isinstance(panels[0], Panel):
        beside_inches = 0.1 if panels[0].f0_hz is None else 0.6
        place = (1 + beside_inches / width_inches, 0, 0.14 / width_inches, 1)
        bar = figure.colorbar(rows[0].images[0], cax=rows[0].inset_axes(place), extend="both")
        bar.set_label("mel in dB", color=DARK_INK, fontsize=8)
        bar.ax.tick_params(colors=DARK_INK, labelsize=8)
    return render(figure)


def new_figure(width_inches: float, height_inches: float, title: str = "", dpi: int = _SCREEN_DPI):
    """A Matplotlib figure on Agg's canvas, laid out by itself; nothing global is touched."""
    # Where there is no home for its settings, Matplotlib takes a temporary folder, with two long warnings.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), dpi=dpi, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        # A name may hold dollar signs, which would start a formula.
        figure.suptitle(_title(title), color=DARK_INK, fontsize=11, x=0.01, ha="left", parse_math=False)
    return figure


def render(figure) -> Picture:
    """The pixels of a figure of `new_figure`."""
    with warnings.catch_warnings():  # of names in scripts that the font lacks, which are drawn as boxes
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.canvas.draw()
    return np.array(figure.canvas.buffer_rgba())[..., :3]


def png_bytes(picture: Picture) -> bytes:
    """The content of a PNG file."""
    from matplotlib.image import imsave

    content = io.BytesIO()
    imsave(content, picture, format="png")
    return content.getvalue()


def _write(path: str | os.PathLike, picture: Picture) -> None:
    with atomic_file(path) as beside:
        beside.write_bytes(png_bytes(picture))


def _draw_panel(axes, panel: Panel, config: AudioConfig) -> None:
    _draw_mel(axes, panel.mel, config, _MEL_RANGE, cmap="magma")
    axes.set_yticks(*_frequency_ticks(config))
    axes.set_ylabel("kHz", color=DARK_INK, fontsize=8)
    _finish(axes, panel.title)
    if panel.f0_hz is not None:
        melody = axes.twinx()
        for curve in Curve("", panel.f0_hz, "#000000a0", width=3.2), Curve("", panel.f0_hz, _F0_COLOUR, width=1.6):
            _draw_curve(melody, curve, config)
        if panel.reference_f0_hz is not None:
            _draw_curve(melody, Curve("", panel.reference_f0_hz, "white", (0, (4, 2)), 1.0), config)
        _f0_axis(melody)
        _finish(melody, "")


def _draw_curves(axes, panel: CurvePanel, config: AudioConfig) -> None:
    for curve in panel.curves:
        _draw_curve(axes, curve, config, is_f0=panel.mel is not None)
    if panel.mel is None:
        highest_db = max(float(np.max(curve.values)) for curve in panel.curves)
        axes.set_ylim(LEVEL_AXIS_DB[0], max(LEVEL_AXIS_DB[1], highest_db + 2))
        axes.set_ylabel("level in dB", color=DARK_INK, fontsize=8)
    else:
        behind = axes.twinx()
        _draw_mel(behind, panel.mel, config, (0.2, 1.8), cmap="Greys")
        behind.set_axis_off()
        axes.set_zorder(1)
        axes.patch.set_visible(False)
        _f0_axis(axes, ticks_hz=(50, 75, 100, 150, 200, 300, 400))
    _finish(axes, panel.title)
    _add_legend(axes)


def _draw_stack(axes, panel: StackPanel, config: AudioConfig) -> None:
    shares, times_s = _columns(panel.shares, config)
    used = np.flatnonzero(panel.shares.any(axis=0))
    colors = [DISTINCT_COLORS[column % len(DISTINCT_COLORS)] for column in used]
    # The legend leaves out what begins with a line.
    names = [printable(panel.names[column])[:20].lstrip("_") for column in used]
    if len(used):
        # White lines part colors where one is seen as another.
        axes.stackplot(times_s, shares[:, used].T, labels=names, colors=colors, edgecolor="white", linewidth=0.6)
        _add_legend(axes, reverse=True)
    axes.set_ylim(0, 1.05 * max(1.0, float(panel.shares.sum(axis=1).max(initial=0))))
    axes.set_ylabel("strength", color=DARK_INK, fontsize=8)
    _finish(axes, panel.title)


def _draw_mel(axes, mel: np.ndarray, config: AudioConfig, colored: tuple[float, float], cmap: str) -> None:
    """The image of a mel in decibels; `colored` is the span of the colors on the mel's own scale."""
    low_db, high_db = ((end - 1) * config.range_db + config.reference_db for end in colored)
    decibels = (_columns(mel, config)[0].T - 1) * config.range_db + config.reference_db
    extent = (0, len(mel) * _frame_s(config), 0, mel.shape[1])
    axes.imshow(decibels, cmap, vmin=low_db, vmax=high_db, origin="lower", aspect="auto", extent=extent)


def _draw_curve(axes, curve: Curve, config: AudioConfig, is_f0: bool = True) -> None:
    values, times_s = _columns(np.where(curve.values > 0, curve.values, np.nan) if is_f0 else curve.values, config)
    axes.plot(times_s, values, color=curve.color, linewidth=curve.width, linestyle=curve.style, label=curve.label)
    there = np.pad(np.isfinite(values), 1)
    alone = there[1:-1] & ~there[:-2] & ~there[2:]  # no line goes through them
    axes.plot(times_s[alone], values[alone], ".", markersize=2 * curve.width, color=curve.color)


def _columns(
    values: Float[np.ndarray, "T *rest"], config: AudioConfig
) -> tuple[Float[np.ndarray, "N *rest"], Float[np.ndarray, " N"]]:
    """What is drawn of so many frames: themselves, or medians or means of each few; and the times of their middles."""
    is_curve = values.ndim == 1
    is_overview = is_curve and len(values) * _frame_s(config) > _OVERVIEW_FROM_S
    step = -(-len(values) // (_OVERVIEW_COLUMNS if is_overview else _MOST_COLUMNS))
    columns = -(-len(values) // step)
    times_s = (np.arange(columns) + 0.5) * step * _frame_s(config)
    if step == 1:
        return values, times_s
    missing = ((0, columns * step - len(values)), *[(0, 0)] * (values.ndim - 1))
    padded = np.pad(values.astype(np.float32), missing, constant_values=np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns that hold no frame with a value
        summarize = np.nanmedian if is_curve else np.nanmean
        return summarize(padded.reshape(columns, step, *values.shape[1:]), axis=1), times_s


def _f0_axis(axes, ticks_hz=(50, 100, 200, 400)) -> None:
    axes.set_yscale("log")
    axes.set_yticks(ticks_hz, [f"{hz}" for hz in ticks_hz])
    axes.set_ylim(F0_AXIS_HZ)
    axes.minorticks_off()
    axes.set_ylabel("F0 in Hz", color=DARK_INK, fontsize=8)


def _finish(axes, title: str) -> None:
    if title:
        axes.set_title(_title(title), color=DARK_INK, fontsize=9, loc="left", parse_math=False)
    axes.tick_params(colors=DARK_INK, labelsize=8)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _add_legend(axes, reverse: bool = False) -> None:
    """Beside the axes, with lines across these to read values by."""
    axes.grid(axis="y", color=DARK_INK, alpha=0.15, linewidth=0.6)
    columns = 1 + len(axes.get_legend_handles_labels()[1]) // 6
    style = {"frameon": False, "fontsize": 8.5, "labelcolor": DARK_INK, "handlelength": 1.6}
    legend = axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), ncols=columns, reverse=reverse, **style)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _title(text: str) -> str:
    """The text as a font can show it, cut where it would leave the picture."""
    shown = printable(text)
    return shown if len(shown) <= _LONGEST_TITLE else f"{shown[:_LONGEST_TITLE]}..."


def _rows(width_inches: float, heights_inches: Sequence[float], title: str, dpi: int = _SCREEN_DPI):
    """A new figure and its axes, below each other on one time axis."""
    figure = new_figure(width_inches, sum(heights_inches) + (0.6 if title else 0.4), title, dpi)
    rows = figure.subplots(len(heights_inches), 1, squeeze=False, sharex=True, height_ratios=heights_inches)[:, 0]
    rows[-1].set_xlabel("time in s", color=DARK_INK, fontsize=8)
    rows[-1].locator_params(axis="x", nbins=max(8, round(width_inches)))
    return figure, rows


def _frame_s(config: AudioConfig) -> float:
    return config.hop_samples / config.sample_rate_hz


def _frames_of(panel: AnyPanel) -> int:
    if isinstance(panel, CurvePanel):
        return len(panel.curves[0].values)
    return len(panel.mel if isinstance(panel, Panel) else panel.shares)


def _height_inches(panel: AnyPanel) -> float:
    if isinstance(panel, CurvePanel):
        return 1.3 if panel.mel is None else 2.3
    return 1.75 if isinstance(panel, Panel) else 0.85


def _frequency_ticks(config: AudioConfig) -> tuple[list[float], list[str]]:
    """Positions in bands and labels in kHz, at the band whose filter peaks nearest."""
    from evc_jax.audio.mel import mel_filters

    peaks = mel_filters(config).argmax(1) * config.sample_rate_hz / config.window_samples
    wanted_hz = [hz for hz in (500, 1000, 2000, 4000) if hz < config.mel_max_hz]
    return [float(np.abs(peaks - hz).argmin()) + 0.5 for hz in wanted_hz], [f"{hz / 1000:g}" for hz in wanted_hz]


_DRAWN: dict[type, Callable[..., None]] = {Panel: _draw_panel, CurvePanel: _draw_curves, StackPanel: _draw_stack}
