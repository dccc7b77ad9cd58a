"""How the page shows trainings: a table of all, and of one its losses, its messages and its newest samples."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from evc_jax.audio.plotting import DARK_INK, DISTINCT_COLORS, new_figure, png_bytes, render
from evc_jax.studio.players import player_html
from evc_jax.studio.training_samples import Sample
from evc_jax.studio.work_directory import WorkDirectory
from evc_jax.training.metrics_writer import TIMINGS

COLORS = {"train": DISTINCT_COLORS[3], "validation": DISTINCT_COLORS[4]}
_MOST_PANELS, _COLUMNS = 12, 2
_LOG_SCALE_FROM = 20.0  # the largest value is so many times the smallest
_COLUMN_NAMES = ("Training", "Network", "Datasets", "Step", "State")


def table_html(runs: Iterable[WorkDirectory]) -> str:
    """A row for each training."""
    rows = [(run.name, run.system, ", ".join(run.datasets), f"{run.step} of {run.total}", run.state) for run in runs]
    if not rows:
        return "<p>There is no training yet.</p>"
    head = "".join(f'<th scope="col">{name}</th>' for name in _COLUMN_NAMES)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    rows_html = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    table = f'<table class="evc-table"><caption>Trainings</caption>{rows_html}</table>'
    # The table scrolls by itself on a narrow page, also by keyboard.
    return f'<div role="region" aria-label="Trainings" tabindex="0" class="evc-scroll">{table}</div>'


def progress_html(run: WorkDirectory) -> str:
    """State, step and the newest speed of a training."""
    words = [f"<strong>{html.escape(run.name)}</strong>: {run.state}", f"step {run.step} of {run.total}"]
    speeds = [record["steps_per_s"] for record in run.metrics() if "steps_per_s" in record]
    if speeds and run.state == "running":
        words.append(f"{speeds[-1]:.2f} steps/s")
    return f"<p>{', '.join(words)}</p>"


def losses_html(records: Sequence[Mapping[str, Any]]) -> str:
    """The picture of the logged metrics, with the newest values as its description; empty without any."""
    curves = metric_curves(records)
    if not curves:
        return ""
    newest = "; ".join(
        f"{name} {split} {values[-1]:.4g} at step {steps[-1]}"
        for name, splits in curves.items()
        for split, (steps, values) in splits.items()
    )
    data = base64.b64encode(losses_png(curves)).decode()
    text = html.escape(f"Metrics over the steps. The newest: {newest}.")
    return f'<img src="data:image/png;base64,{data}" alt="{text}" style="max-width: 100%; height: auto">'


Curves = dict[str, dict[str, tuple[list[int], list[float]]]]


def metric_curves(records: Sequence[Mapping[str, Any]]) -> Curves:
    """Steps and values of each metric and split; the loss comes first, measurements of the machine are left out."""
    curves: Curves = {}
    for record in records:
        for name, value in record.items():
            if name not in ("split", "step", *TIMINGS) and isinstance(value, int | float) and math.isfinite(value):
                steps, values = curves.setdefault(name, {}).setdefault(record["split"], ([], []))
                steps.append(record["step"])
                values.append(value)
    return dict(sorted(curves.items(), key=lambda entry: "loss" not in entry[0]))


def losses_png(curves: Curves) -> bytes:
    """Draws one small picture for each of the first metrics."""
    shown = list(curves.items())[:_MOST_PANELS]
    columns = min(_COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = new_figure(4.0 * columns, 0.3 + 1.7 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for (name, splits), axes in zip(shown, grid, strict=False):
        for split, (steps, values) in splits.items():
            style = "o-" if split == "validation" or len(steps) == 1 else "-"
            axes.plot(steps, values, style, color=COLORS.get(split, DARK_INK), markersize=3, linewidth=1.4, label=split)
        _scale(axes, np.concatenate([values for _, values in splits.values()]))
        axes.set_title(name, loc="left", fontsize=9, color=DARK_INK, parse_math=False)
        axes.tick_params(colors=DARK_INK, labelsize=8)
        axes.grid(color=DARK_INK, alpha=0.15, linewidth=0.6)
        axes.legend(frameon=False, fontsize=8, labelcolor=DARK_INK)
    for axes in grid:  # those that are left
        axes.set_axis_off()
    return png_bytes(render(figure))


def _scale(axes: Any, values: np.ndarray) -> None:
    axes.locator_params(axis="x", nbins=5, integer=True)
    if values.min() > 0 and values.max() > _LOG_SCALE_FROM * values.min():
        axes.set_yscale("log")


def log_html(text: str) -> str:
    """The last messages of a training."""
    if not text:
        return "<p>It was not started in the studio: its messages are where it was started.</p>"
    style = "display: flex; flex-direction: column-reverse; overflow: auto; max-height: 16em"  # begins at its end
    lines = f'<pre style="white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85em">{html.escape(text)}</pre>'
    return f'<div role="region" tabindex="0" aria-label="Messages" style="{style}">{lines}</div>'


def samples_html(samples: Sequence[Sample], urls: Mapping[str, str]) -> str:
    """Pictures and sounds by utterance.

    Args:
      samples: see `SampleReader.read`.
      urls: of each sample's file, by tag.
    """
    parts: list[str] = []
    last = None
    for sample in samples:
        if sample.utterance != last:
            last = sample.utterance
            parts.append(f"<h3>{html.escape(last)}</h3>")
        title = f"{sample.tag.rpartition('/')[2]}, step {sample.step}"
        if sample.suffix == ".png":
            alt = html.escape(f"{last}: {title}")
            parts.append(f'<img src="{urls[sample.tag]}" alt="{alt}" style="max-width: 100%; height: auto">')
        else:
            parts.append(player_html(title, urls[sample.tag]))
    return "".join(parts)
