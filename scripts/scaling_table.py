"""Prints the tables of docs/scaling.md, and draws its picture.

    python scripts/scaling_table.py --measured=docs/measured_steps.json --plot=docs/scaling.svg

FLOPs, weights and bytes are counted on the `full` configs; bandwidths and peaks are the published ones of
evc_jax/training/hardware.py and scaling.py; times of steps on accelerators are predictions at the given utilisation.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from measure_steps import load_config

from evc_jax.errors import EvcError
from evc_jax.training.config import SYSTEMS, TrainConfig
from evc_jax.training.scaling import CLUSTERS, StepCost, predict, step_cost

DEVICES = (1, 8, 32, 256)
PLOTTED = tuple(2**power for power in range(9))


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; the first column is text, the others numbers."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Three figures, with the thousands apart."""
    return f"{float(f'{value:.3g}'):,.10g}"


def costs_table(costs: list[StepCost]) -> str:
    rows = [
        [
            cost.system,
            number(cost.weights / 1e6),
            str(cost.samples),
            number(cost.flops / 1e9),
            number(cost.flops / cost.samples / 1e9),
            str(cost.loop_iterations),
            number(cost.reduced_bytes / 1e6),
            number(cost.input_bytes / 1e6),
        ]
        for cost in costs
    ]
    head = ["system", "weights, M", "samples a step", "GFLOP a step", "GFLOP a sample"]
    return table([*head, "time steps in sequence", "all-reduced, MB", "input, MB"], rows)


def step_table(costs: list[StepCost], measured: dict, utilisation: float, dtype: str) -> str:
    rows = []
    for cost in costs:
        here = measured["systems"][cost.system]
        row = [cost.system, str(here["batch"]), number(here["cpu_s"]), number(here["gflops_per_cpu_s"])]
        for cluster in CLUSTERS:
            alone = predict(cost, cluster, 1, utilisation, dtype)
            row.append(f"{number(alone.step_s * 1e3)} ({alone.limit})")
        rows.append(row)
    head = ["system", "CPU: batch", "core-seconds a step", "GFLOP/s a core"]
    return table([*head, *(f"{cluster.kind}, ms" for cluster in CLUSTERS)], rows)


def efficiency_table(costs: list[StepCost], measured: dict, utilisation: float, dtype: str) -> str:
    rows = []
    for cost in costs:
        reading = measured["systems"][cost.system]["samples_per_cpu_s"]
        for cluster in CLUSTERS:
            alone = predict(cost, cluster, 1, utilisation, dtype)
            many = [predict(cost, cluster, devices, utilisation, dtype) for devices in DEVICES[1:]]
            fed = cost.samples * cluster.devices_per_host / many[0].step_s
            rows.append(
                [
                    f"{cost.system}, {cluster.kind}",
                    *(number(each.reduction_s * 1e3) for each in many),
                    *(f"{alone.step_s / each.step_s:.0%}" for each in many),
                    many[-1].limit,
                    number(fed),
                    number(fed / reading),
                ]
            )
    head = ["", *(f"all-reduce, ms, {n}" for n in DEVICES[1:]), *(f"efficiency, {n}" for n in DEVICES[1:])]
    return table([*head, "limit", "samples/s a host", "reading cores a host"], rows)


def recipe_table(configs: list[TrainConfig]) -> str:
    """Square-root scaling of Adam (Malladi et al., arXiv 2205.10287) with the config's batch on every device."""
    rows = []
    for config in configs:
        row = [config.system]
        for devices in DEVICES:
            rate, steps = config.optimizer.learning_rate * devices**0.5, config.steps / devices
            row.append(f"{config.batch_size * devices:,} / {rate:.2g} / {number(steps)}")
        rows.append(row)
    return table(["batch / rate / steps", *(f"{n} devices" if n > 1 else "1 device" for n in DEVICES)], rows)


def plot(costs: list[StepCost], path: Path, utilisation: float, dtype: str) -> None:
    """Speed-up against devices: solid with a batch for each, dashed with one batch divided among them."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "evc_jax"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(CLUSTERS), figsize=(11, 4), sharey=True, layout="constrained")
    for axis, cluster in zip(axes, CLUSTERS, strict=True):
        for color, cost in enumerate(costs):
            alone = predict(cost, cluster, 1, utilisation, dtype).step_s
            steps = [predict(cost, cluster, n, utilisation, dtype) for n in PLOTTED]
            each = [n * alone / step.step_s for n, step in zip(PLOTTED, steps, strict=True)]
            shared = [
                alone / (step.step_s - step.compute_s * (1 - 1 / n)) for n, step in zip(PLOTTED, steps, strict=True)
            ]
            axis.loglog(PLOTTED, each, color=f"C{color}", label=cost.system, base=2)
            axis.loglog(PLOTTED, shared, color=f"C{color}", linestyle="--", base=2)
        axis.loglog(PLOTTED, PLOTTED, color="0.8", linewidth=4, zorder=0, base=2)
        axis.set(title=cluster.kind, xlabel="devices", xticks=PLOTTED[::2], xticklabels=PLOTTED[::2])
    axes[0].set(ylabel="speed-up in samples per second", yticks=PLOTTED[::2], yticklabels=PLOTTED[::2])
    axes[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True, help="what scripts/measure_steps.py wrote")
    parser.add_argument("--utilisation", type=float, default=0.3, help="share of the published peak; default: 0.3")
    parser.add_argument("--dtype", default="bfloat16", help="compute_dtype; default: bfloat16")
    parser.add_argument("--plot", type=Path, help="an SVG or PNG file to draw")
    arguments = parser.parse_args()
    try:
        measured = json.loads(arguments.measured.read_text())
        configs = [load_config(name, "full", compute_dtype=arguments.dtype) for name in SYSTEMS]
        costs = [step_cost(config) for config in configs]
        settings = arguments.utilisation, arguments.dtype
        print(costs_table(costs), step_table(costs, measured, *settings), sep="\n\n")
        print(f"\n{efficiency_table(costs, measured, *settings)}\n\n{recipe_table(configs)}")
        if arguments.plot:
            plot(costs, arguments.plot, *settings)
    except (EvcError, OSError) as error:
        print(f"scaling_table: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
