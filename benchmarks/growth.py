"""How time and memory grow with batch, length and devices, beside what arithmetic and memory traffic allow.

    python -m benchmarks.growth --json docs/measured_growth.json --plot docs/performance.svg
    python -m benchmarks.growth --json docs/measured_growth.json --only 'training/*/batch'
    python -m benchmarks.growth --json docs/measured_growth.json --plot docs/performance.svg --show

Curves are named WHAT/SIZE/AGAINST; `--only` measures those that fit a pattern and leaves the others of the file as they
are; `--show` measures none. A curve is measured in a process of its own, a recording's length in one for each point, as
peak memory is a process's. Devices are those there are; a CPU is divided into two, which shows what dividing costs.

FLOPs are those of matrix products and convolutions. Of a compiled program must be moved at least: what it is given,
once; what it returns, once; and its workspace, written once and read once. By length, only time and memory are given.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import waveglow_synthesis
from benchmarks.fake_data import synthetic_batch, system_without_data
from benchmarks.harness import Contender, Timing, compare, machine, number, write_json
from benchmarks.recordings import speech
from benchmarks.speeds import copy_bytes_per_s, matrix_flops_per_s
from benchmarks.systems import load_config, step_program
from evc_jax.audio import io as audio_io
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.long_recordings import convert_file
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import EvcError
from evc_jax.evaluation.tables import markdown_table
from evc_jax.jax_cache import enable_cache
from evc_jax.models.waveglow.config import WaveGlowConfig
from evc_jax.pretrained.bundle import load_bundle
from evc_jax.training.config import SYSTEMS
from evc_jax.training.flops import count_flops

LENGTHS_S = (1, 10, 60, 600)
CURVES = {
    "conversion/griffin-lim/length": LENGTHS_S,
    "conversion/waveglow/length": LENGTHS_S,
    "synthesis/full/batch": (1, 4),
    "synthesis/small/batch": (1, 4, 16, 64),
    **{f"training/{system}/batch": (1, 8, 64) for system in SYSTEMS},
    **{f"training/{system}/devices": (1, 2, 4, 8) for system in SYSTEMS},
}
QUICK_CURVE = "synthesis/small/batch"
CLIP_FRAMES = 32  # of synthesis against batch; half a second
CPU_DEVICES, DEVICES_BATCH = 2, 8  # the batch is divided among the devices
WARM_UP_S = 60  # nothing is compiled for recordings longer than that
UNITS = {"batch": "batch {}", "length": "{} s", "devices": "devices {}"}
Point = dict[str, Any]


def synthesis_by_batch(name: str, batch: int, seconds: float, quick: bool) -> Point:
    """WaveGlow's program on so many clips at once."""
    config = load_config("waveglow", name).network_config(WaveGlowConfig)
    mel = np.random.default_rng(0).random((batch, CLIP_FRAMES, config.mel_bands), np.float32)
    function, inputs = waveglow_synthesis.program(config, mel)
    compiled = function.lower(*inputs).compile()
    flops = count_flops(function.__wrapped__, *inputs)
    return program_point(compiled, flops, lambda: compiled(*inputs), seconds, quick)


def conversion_by_length(name: str, length_s: int, seconds: float, quick: bool) -> Point:
    """`evc_jax.conversion.long_recordings.convert_file` with the embedded bundle, to another emotion, file to file."""
    converter = Converter(load_bundle())
    options = ConversionOptions(emotion=converter.emotions[-1], vocoder=name)
    with tempfile.TemporaryDirectory() as folder:
        for duration_s in {min(length_s, WARM_UP_S), length_s}:
            sound = speech(duration_s, converter.sample_rate_hz)
            audio_io.save(Path(folder) / f"{duration_s}.wav", sound, converter.sample_rate_hz)

        def convert(duration_s: int) -> None:
            files = Path(folder) / f"{duration_s}.wav", Path(folder) / "out.wav"
            convert_file(converter, *files, options, progress=False)

        return _once(convert, length_s)


def training_by_batch(name: str, batch_size: int, seconds: float, quick: bool, devices: int = 1) -> Point:
    """A training step of the `small` config; FLOPs and memory are one device's."""
    config = load_config(name, "tiny" if quick else "small", batch_size=batch_size)
    step, inputs = step_program(config, synthetic_batch(system_without_data(config), batch_size), devices)
    compiled, flops = step.lower(*inputs).compile(), count_flops(step, *inputs)
    state, *rest = inputs

    def call() -> Any:
        nonlocal state
        state, _ = compiled(state, *rest)
        return state

    return program_point(compiled, flops, call, seconds, quick)


def training_by_devices(name: str, devices: int, seconds: float, quick: bool) -> Point | None:
    """A training step on one batch divided among devices; None where there are not so many."""
    return None if devices > jax.device_count() else training_by_batch(name, DEVICES_BATCH, seconds, quick, devices)


def program_point(compiled: Any, flops: float, call: Callable[[], Any], seconds: float, quick: bool) -> Point:
    """What a run of a compiled program takes, by `call`; memory is one device's."""
    memory = compiled.memory_analysis()
    given, returned = memory.argument_size_in_bytes, memory.output_size_in_bytes
    return {
        "seconds": _timed(call, 0 if quick else seconds, 1 if quick else 3).median_s,
        "peak_bytes": given + returned - memory.alias_size_in_bytes + memory.temp_size_in_bytes,
        "flops": flops,
        "moved_bytes": given + returned + 2 * memory.temp_size_in_bytes,
    }


def speeds(quick: bool) -> dict[str, float]:
    """The highest FLOPs per second of a float32 matrix product, and bytes per second read and written by a copy."""
    return {"flops_per_s": matrix_flops_per_s(quick=quick), "bytes_per_s": copy_bytes_per_s(quick)}


def measure_here(key: str, sizes: tuple[int, ...], seconds: float, quick: bool) -> dict[str, Any]:
    """Points of one curve. Speeds come last, so that their arrays are not in the peak memory."""
    what, name, against = key.split("/")
    if against == "devices":
        jax.config.update("jax_num_cpu_devices", CPU_DEVICES)
    enable_cache()
    measure = globals()[f"{what}_by_{against}"]
    points = [{"size": size, **measured} for size in sizes if (measured := measure(name, size, seconds, quick))]
    return {"machine": machine(), **speeds(quick), "points": points}


def measure_curve(key: str, seconds: float, quick: bool) -> dict[str, Any]:
    """Every point in new processes; the limits are the highest speeds that any of them reached.

    Raises:
      EvcError: a process was killed.
    """
    sizes = CURVES[key][:1] if quick else CURVES[key]
    found = []
    for group in [(size,) for size in sizes] if key.endswith("/length") else [sizes]:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            try:
                found.append(pool.submit(measure_here, key, group, seconds, quick).result())
            except BrokenProcessPool as error:
                raise EvcError(f"{key} at {group} was killed, perhaps for its memory; measure smaller ones.") from error
    fastest = {speed: max(each[speed] for each in found) for speed in ("flops_per_s", "bytes_per_s")}
    return {"machine": found[0]["machine"], **fastest, "points": [point for each in found for point in each["points"]]}


def limits_s(curve: dict[str, Any], point: Point) -> tuple[float, ...]:
    """The least time for a point's FLOPs, and for its bytes, at its curve's speeds; empty if not counted."""
    if "flops" not in point:
        return ()
    return point["flops"] / curve["flops_per_s"], point["moved_bytes"] / curve["bytes_per_s"]


def table(curves: dict[str, Any]) -> str:
    """Markdown, a line for each point."""
    rows = []
    for key in filter(curves.get, CURVES):
        what, name, against = key.split("/")
        for point in curves[key]["points"]:
            limits = limits_s(curves[key], point)
            values = [point["seconds"] * 1e3, point["peak_bytes"] / 1e6, *(1e3 * limit for limit in limits)]
            share = [f"{max(limits) / point['seconds']:.1%}"] if limits else [""] * 3
            rows.append([f"{what}, {name}", UNITS[against].format(point["size"]), *map(number, values), *share])
    head = ["", "size", "time, ms", "peak memory, MB", "arithmetic, ms", "bandwidth, ms", "of the limit"]
    return markdown_table(head, rows)


def plot(curves: dict[str, Any], path: Path) -> None:
    """Time and memory; dashed is what arithmetic takes at least, dotted what memory does."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.hashsalt": "evc_jax", "svg.fonttype": "none"})
    import matplotlib.pyplot as plt

    panels = list(dict.fromkeys(tuple(key.split("/")[::2]) for key in CURVES if key in curves))
    size = (3.2 * len(panels), 6)
    figure, axes = plt.subplots(2, len(panels), figsize=size, sharex="col", layout="constrained", squeeze=False)
    for (above, below), (what, against) in zip(axes.T, panels, strict=True):
        drawn = [key for key in CURVES if key in curves and fnmatch.fnmatch(key, f"{what}/*/{against}")]
        for color, key in enumerate(drawn):
            _draw(above, below, curves[key], {"color": f"C{color}"}, key.split("/")[1])
        ticks = sorted({point["size"] for key in drawn for point in curves[key]["points"]})
        above.set(title=f"{what} by {against}")
        below.set(xlabel="length, s" if against == "length" else against, xticks=ticks, xticklabels=ticks)
        # Whole decades, as growth may be little, and one more below the lines, for the legend.
        low, high = (math.log10(limit) for limit in below.get_ylim())
        below.set_ylim(10 ** (math.floor(low) - 1), 10 ** math.ceil(high))
        below.legend(frameon=False, fontsize="small", ncols=2, loc="lower right")
    for axis in axes.flat:
        axis.minorticks_off()
    axes[0, 0].set(ylabel="time, s")
    axes[1, 0].set(ylabel="peak memory, MB")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> int:
    arguments = options().parse_args()
    only = QUICK_CURVE if arguments.quick else arguments.only
    keys = [] if arguments.show else fnmatch.filter(CURVES, only)
    try:
        if not (keys or arguments.show):
            raise EvcError(f"--only is {only!r}, which fits no curve; give a pattern of {', '.join(CURVES)}.")
        curves = _read(arguments.json) if arguments.json and (arguments.show or arguments.json.exists()) else {}
        for key in keys:
            print(key, flush=True)
            curves[key] = measure_curve(key, arguments.seconds, arguments.quick)
            if arguments.json:
                write_json(arguments.json, {"curves": curves})
        print(f"\n{table(curves)}")
        if arguments.plot:
            plot(curves, arguments.plot)
    except (EvcError, OSError) as error:
        print(f"growth: {error}", file=sys.stderr)
        return 2
    return 0


def options() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--only", default="*", metavar="PATTERN", help="of the curves' names; default: all")
    made.add_argument("--show", action="store_true", help="measure nothing, show what --json has")
    made.add_argument("--seconds", type=float, default=1.0, help="to repeat a point, at least three times; default: 1")
    made.add_argument("--quick", action="store_true", help="one point of one curve: to see that it still works")
    made.add_argument("--json", type=Path, metavar="FILE", help="that results are added to")
    made.add_argument("--plot", type=Path, metavar="FILE", help="SVG or PNG to draw")
    return made


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text())["curves"])
    except (ValueError, KeyError, TypeError) as error:
        raise EvcError(f"{path} holds no curves; give a file that this benchmark wrote.") from error


def _draw(above: Any, below: Any, curve: dict[str, Any], style: dict[str, Any], name: str) -> None:
    points = curve["points"]
    sizes = [point["size"] for point in points]
    above.loglog(sizes, [point["seconds"] for point in points], marker="o", markersize=3, **style)
    for limits, line in zip(zip(*(limits_s(curve, point) for point in points), strict=True), ("--", ":"), strict=False):
        above.loglog(sizes, limits, linestyle=line, linewidth=1, **style)
    memory = [point["peak_bytes"] / 1e6 for point in points]
    below.loglog(sizes, memory, marker="o", markersize=3, label=name, **style)


def _timed(call: Callable[[], Any], seconds: float, rounds: int) -> Timing:
    return compare([Contender("", lambda: lambda: jax.block_until_ready(call()))], seconds, rounds)[0]


def _once(work: Callable[[int], None], length_s: int) -> Point:
    """Time after a warm-up, and the most memory that this process ever held, as Linux tells; Python is in it."""
    work(min(length_s, WARM_UP_S))
    start = time.perf_counter()
    work(length_s)
    seconds = time.perf_counter() - start
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {"seconds": seconds, "peak_bytes": 1024 * int(status["VmHWM"].split()[0])}


if __name__ == "__main__":
    sys.exit(main())
