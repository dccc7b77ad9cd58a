"""Pictures of conversions: source and result, the same sounds below each other, and the emotion over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evc_jax.audio.plotting import AnyPanel, Curve, CurvePanel, Panel, StackPanel, draw_panels
from evc_jax.conversion.result import Conversion, Transfer
from evc_jax.features import prosody, time_warp

# Orange and blue differ for all kinds of color vision.
_SOURCE_COLOR, _RESULT_COLOR = "#d95f02", "#0b57b0"


def draw_conversion(path: Path, conversion: Conversion, emotions: Sequence[str]) -> None:
    """Writes the panels of a conversion as a PNG file, whose name is the title of the result."""
    draw_panels(path, conversion_panels(conversion, emotions, path.stem), conversion.config)


def draw_transfer(path: Path, transfer: Transfer) -> None:
    """Writes the mels and F0 of both recordings and the result as a PNG file, whose name is the title of the result."""
    draw_panels(path, transfer_panels(transfer, path.stem), transfer.config)


def transfer_panels(transfer: Transfer, title: str) -> list[AnyPanel]:
    """The panels of `plotting.draw_panels` for a transfer; the title names the result."""
    shown = f"{title} ({transfer.aspects})"
    drawn: dict[str, Any] = {"source": transfer.source, "target": transfer.target, shown: transfer}
    return [Panel(name, each.mel, each.f0_hz) for name, each in drawn.items()]


def conversion_panels(conversion: Conversion, emotions: Sequence[str], title: str) -> list[AnyPanel]:
    """The panels of `plotting.draw_panels`, all at the times of the result.

    The source is moved to the positions that the result renders: its mel, F0 and level show what stays and what changes
    of a sound. Levels are relative to the source's loud frames. The emotion is left out where there is none.

    Args:
      conversion: a conversion.
      emotions: names of the columns of its `emotion_weights`.
      title: names the result.
    """
    source, config = conversion.source, conversion.config
    frames = min(len(conversion.mel), len(conversion.f0_hz))
    positions = conversion.rendered_positions[:frames]
    mel, f0_hz = conversion.mel[:frames], conversion.f0_hz[:frames]
    source_mel, source_f0_hz = time_warp.warp(source.mel, positions), time_warp.warp_f0(source.f0_hz, positions)
    measured = [
        prosody.measure(*each, source.level_gain, config) for each in ((source_mel, source_f0_hz), (mel, f0_hz))
    ]
    loud_db = prosody.reference_of(measured[0]).loudest_db
    source_level_db, level_db = (each.loudness_db - loud_db for each in measured)
    is_moved = bool(np.abs(positions - np.arange(frames)).max() > 0.5)
    panels: list[AnyPanel] = [
        Panel("source, moved to the times of the result" if is_moved else "source", source_mel),
        Panel(title, mel),
        _compared("F0", mel, source_f0_hz, f0_hz),
        _compared("level, 0 dB: loud frames of the source", None, source_level_db, level_db),
    ]
    if conversion.emotion_weights is not None:
        weights = time_warp.warp(conversion.emotion_weights, positions)
        panels.append(StackPanel("emotion", tuple(emotions), weights))
    return panels


def _compared(title: str, mel: np.ndarray | None, source: np.ndarray, result: np.ndarray) -> CurvePanel:
    curves = Curve("source", source, _SOURCE_COLOR, (0, (4, 1.5)), 1.4), Curve("result", result, _RESULT_COLOR)
    return CurvePanel(title, mel, curves)
