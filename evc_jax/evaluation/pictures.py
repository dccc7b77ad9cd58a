"""Plots of an evaluation: the trade-off between emotion and voice, confusion matrices, what each control moves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from evc_jax.audio.plotting import DARK_INK, new_figure, render
from evc_jax.evaluation.bootstrap import Estimate
from evc_jax.files import atomic_file

_COLORS = ("#0969da", "#cf222e", "#8250df", "#1a7f37", "#9a6700")


def draw_trade_off(
    path: str | os.PathLike,
    curves: Mapping[str, Sequence[tuple[str, Estimate, Estimate]]],
    points: Mapping[str, tuple[Estimate, Estimate]],
) -> None:
    """Emotion recognised over voice kept: curves of (label, voice, recall) over strength, and single points."""
    figure = new_figure(7.5, 5.0)
    axes = figure.subplots()
    for color, (name, places) in zip(_COLORS, curves.items()):
        if places:
            x, y = [voice.mean for _, voice, _ in places], [recall.mean for *_, recall in places]
            axes.plot(x, y, "o-", color=color, label=name)
            for label, voice, recall in places:
                _cross(axes, voice, recall, color)
                axes.annotate(label, (voice.mean, recall.mean), (4, 4), textcoords="offset points", fontsize=8)
    for name, (voice, recall) in points.items():
        axes.plot(voice.mean, recall.mean, "s", color=DARK_INK)
        _cross(axes, voice, recall, DARK_INK)
        # Names on the right would leave the picture.
        place = {"xytext": (-5, -10), "ha": "right"} if voice.mean > 0.8 else {"xytext": (5, -10), "ha": "left"}
        axes.annotate(name, (voice.mean, recall.mean), textcoords="offset points", fontsize=8, **place)
    axes.set_xlabel("voice kept: cosine with the source", color=DARK_INK)
    axes.set_ylabel("emotion recognised: mean of happy, sad, angry", color=DARK_INK)
    axes.set_ylim(-0.06, 1.03)
    axes.grid(alpha=0.2)
    axes.legend(frameon=False)
    _save(path, figure)


def draw_confusions(path: str | os.PathLike, matrices: Mapping[str, tuple[Sequence[str], np.ndarray]]) -> None:
    """Shares [asked, recognised] of each matrix, side by side; a row without recordings is NaN."""
    figure = new_figure(4.0 * len(matrices), 4.4)
    for axes, (name, (labels, shares)) in zip(np.atleast_1d(figure.subplots(1, len(matrices))), matrices.items()):
        axes.imshow(shares, "Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=8)
        axes.set_yticks(range(len(labels)), labels, fontsize=8)
        axes.set_title(name, fontsize=9, color=DARK_INK, parse_math=False)
        axes.set_xlabel("recognised", fontsize=8)
        axes.set_ylabel("asked for", fontsize=8)
        for (row, column), share in np.ndenumerate(shares):
            if np.isfinite(share) and share >= 0.005:
                ink = "white" if share > 0.5 else "black"
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=ink)
    _save(path, figure)


def draw_matrix(
    path: str | os.PathLike,
    matrices: Mapping[str, Mapping[str, tuple[str, Sequence[Estimate]]]],
    columns: Sequence[str],
    judged: Sequence[str],
    bound: float,
) -> None:
    """Heat maps of signed changes, one below the other.

    Args:
      path: of the picture.
      matrices: by title, rows of a name, the key of its own measure and an estimate per column.
      columns: headings.
      judged: names of the rows whose cells beside the diagonal are to be below `bound`; the others are drawn grey.
      bound: cells of judged rows beyond it are bold.
    """
    figure = new_figure(7.5, 0.9 + sum(1.0 + 0.33 * len(rows) for rows in matrices.values()))
    heights = [len(rows) + 2 for rows in matrices.values()]
    grid = figure.subplots(len(matrices), 1, gridspec_kw={"height_ratios": heights}, squeeze=False)
    for axes, (title, rows) in zip(grid[:, 0], matrices.items()):
        means = np.array([[cell.mean for cell in cells] for _, cells in rows.values()], float)
        meant = np.array([name not in judged for name in rows])
        axes.imshow(np.where(meant[:, None], np.nan, means), "RdBu_r", vmin=-1, vmax=1, aspect="auto")
        axes.set_yticks(range(len(rows)), list(rows), fontsize=8)
        axes.set_xticks(range(len(columns)), columns, fontsize=7, rotation=20, ha="right")
        axes.set_title(title, fontsize=9, color=DARK_INK, parse_math=False)
        for (row, column), mean in np.ndenumerate(means):
            if np.isfinite(mean):
                ink = "gray" if meant[row] else "white" if abs(mean) > 0.6 else "black"
                weight = "bold" if not meant[row] and bound <= abs(mean) else "normal"
                axes.text(column, row, f"{mean:+.2f}", ha="center", va="center", fontsize=8, color=ink, weight=weight)
    _save(path, figure)


def confusion(rows: Sequence[Mapping[str, str]], key: str, labels: Sequence[str]) -> np.ndarray:
    """Share of each label's recordings that are recognised as each label; `key` holds what was recognised."""
    counts = np.zeros((len(labels), len(labels)))
    for row in rows:
        if row["emotion"] in labels and row[key] in labels:
            counts[labels.index(row["emotion"]), labels.index(row[key])] += 1
    totals = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)


def _cross(axes, voice: Estimate, recall: Estimate, color: str) -> None:
    """Both intervals of a point."""
    style = {"color": color, "alpha": 0.25, "linewidth": 1.2}
    axes.plot([voice.low, voice.high], [recall.mean] * 2, **style)
    axes.plot([voice.mean] * 2, [recall.low, recall.high], **style)


def _save(path: str | os.PathLike, figure) -> None:
    from matplotlib.image import imsave

    with atomic_file(path) as beside:
        imsave(beside, render(figure), format="png")
