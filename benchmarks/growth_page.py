"""Prints the tables of docs/performance.md that `benchmarks.growth` measured, and draws its picture.

python -m benchmarks.growth_page --measured docs/measured_growth.json --plot docs/performance.svg
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from evc_jax.errors import EvcError

SIZES = {"batch": "batch", "length": "length, s", "devices": "devices"}


def limits_s(curve: dict[str, Any], point: dict[str, Any]) -> tuple[float, float]:
    """The least time for a point's FLOPs, and for its bytes, at the speeds measured with its curve."""
    return point["flops"] / curve["flops_per_s"], point["moved_bytes"] / curve["bytes_per_s"]


def panels(curves: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """What is drawn together, and stands in one table: (what, against) -> name -> curve."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for key, curve in curves.items():
        what, name, against = key.split("/")
        found.setdefault((what, against), {})[name] = curve
    return dict(sorted(found.items(), key=lambda item: (item[0][0] == "training", item[0][1] == "devices", item[0])))


def table(what: str, against: str, curves: dict[str, Any]) -> str:
    """Markdown, a line for each point."""
    head = [what, SIZES[against], "time, ms", "peak memory, MB", "arithmetic, ms", "bandwidth, ms", "of the limit"]
    lines = [head, ["---"] + ["--:"] * (len(head) - 1)]
    for name, curve in curves.items():
        for point in curve["points"]:
            limits = limits_s(curve, point)
            times = [number(seconds * 1e3) for seconds in (point["seconds"], *limits)]
            share = f"{max(limits) / point['seconds']:.1%}"
            memory = number(point["peak_bytes"] / 1e6)
            lines.append([name, str(point["size"]), times[0], memory, *times[1:], share])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def speeds_table(curves: dict[str, Any]) -> str:
    """The lowest and highest speeds of all curves, as other work on the machine changes them."""
    lines = [["measured in each run", "lowest", "highest"], ["---", "--:", "--:"]]
    units = (("flops_per_s", "matrix product, GFLOP/s"), ("bytes_per_s", "copy, GB/s"))
    for key, name in units:
        found = [curve[key] / 1e9 for curve in curves.values()]
        lines.append([name, number(min(found)), number(max(found))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Three figures, with the thousands apart."""
    return f"{float(f'{value:.3g}'):,.10g}"


def plot(curves: dict[str, Any], path: Path) -> None:
    """Time and memory, a column for each table; dashed is what arithmetic takes at least, dotted what memory does."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "evc_jax"
    import matplotlib.pyplot as plt

    drawn = panels(curves)
    figure, axes = plt.subplots(
        2, len(drawn), figsize=(3.2 * len(drawn), 6), sharex="col", layout="constrained", squeeze=False
    )
    for (time_axis, memory_axis), ((what, against), named) in zip(axes.T, drawn.items(), strict=True):
        for color, (name, curve) in enumerate(named.items()):
            sizes = [point["size"] for point in curve["points"]]
            style: dict[str, Any] = {"color": f"C{color}"}
            arithmetic, bandwidth = zip(*(limits_s(curve, point) for point in curve["points"]), strict=True)
            times = [point["seconds"] for point in curve["points"]]
            time_axis.loglog(sizes, times, marker="o", markersize=3, **style)
            time_axis.loglog(sizes, arithmetic, linestyle="--", linewidth=1, **style)
            time_axis.loglog(sizes, bandwidth, linestyle=":", linewidth=1, **style)
            memory = [point["peak_bytes"] / 1e6 for point in curve["points"]]
            memory_axis.loglog(sizes, memory, marker="o", markersize=3, label=name, **style)
        time_axis.set(title=f"{what} by {against}")
        ticks = sorted({point["size"] for curve in named.values() for point in curve["points"]})
        memory_axis.set(xlabel=SIZES[against], xticks=ticks, xticklabels=ticks)
        memory_axis.xaxis.set_minor_locator(plt.NullLocator())
        # Whole decades, as growth may be little, and one more below the lines, for the legend.
        low, high = (math.log10(limit) for limit in memory_axis.get_ylim())
        memory_axis.set_ylim(10 ** (math.floor(low) - 1), 10 ** math.ceil(high))
        memory_axis.legend(frameon=False, fontsize="small", ncols=2, loc="lower right")
    axes[0, 0].set(ylabel="time, s")
    axes[1, 0].set(ylabel="peak memory, MB")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True, help="what benchmarks.growth wrote")
    parser.add_argument("--plot", type=Path, help="an SVG or PNG file to draw")
    arguments = parser.parse_args()
    try:
        curves = _read(arguments.measured)
        tables = [table(*key, named) for key, named in panels(curves).items()]
        print("\n\n".join([speeds_table(curves), *tables]))
        if arguments.plot:
            plot(curves, arguments.plot)
    except (EvcError, OSError) as error:
        print(f"growth_page: {error}", file=sys.stderr)
        return 2
    return 0


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())["curves"]
    except (ValueError, KeyError, TypeError) as error:
        raise EvcError(f"{path} holds no curves; give a file that benchmarks.growth wrote.") from error


if __name__ == "__main__":
    sys.exit(main())
