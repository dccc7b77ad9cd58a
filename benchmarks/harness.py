"""Times several ways of doing the same work in turns, so that a machine that slows down meanwhile slows all of them."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evc_jax.errors import EvcError, one_line
from evc_jax.evaluation.tables import markdown_table

PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch", "librosa", "pyworld-prebuilt", "resemblyzer", "grain")
MIN_ROUNDS = 3
WARM_UP_CALLS = 1


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes:
      name: as in the table.
      prepare: builds and compiles whatever it takes, and returns a call that does the work once and comes back when it
        is done.
      original: whether the others are compared with it.
      optional: whether it is left out, with a line on standard error, where it fails or the time is over.
    """

    name: str
    prepare: Callable[[], Callable[[], Any]]
    original: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Work:
    """What one call does.

    Attributes:
      subject: in a few words, with sizes.
      amount: how much of `unit`, from which the rate follows.
      unit: e.g. "samples".
      details: sizes, precision and whatever else belongs into the JSON.
    """

    subject: str
    amount: float
    unit: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass
class Timing:
    """Seconds of one contender."""

    name: str
    original: bool
    prepare_s: float
    first_s: float
    seconds: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        return statistics.median(self.seconds)


def compare(
    contenders: Sequence[Contender],
    seconds: float,
    min_rounds: int = MIN_ROUNDS,
    over: Callable[[], bool] = lambda: False,
) -> list[Timing]:
    """Prepares all contenders, lets each work once unmeasured, then all in turns until the time is over.

    Args:
      contenders: at least one.
      seconds: how long to go on; begun rounds are finished.
      min_rounds: rounds that are measured however long they take.
      over: whether there is no time left for contenders that are optional.
    """
    calls, timings = [], []
    for contender in contenders:
        try:
            if contender.optional and over():
                raise TimeoutError("no time is left for it")
            start = time.perf_counter()
            call = contender.prepare()
            prepared = time.perf_counter()
            for _ in range(WARM_UP_CALLS):
                call()
        except EvcError:
            raise
        except Exception as error:
            if not contender.optional:
                raise
            print(f"{contender.name} is left out ({one_line(error)})", file=sys.stderr, flush=True)
            continue
        timings.append(Timing(contender.name, contender.original, prepared - start, time.perf_counter() - prepared))
        calls.append(call)
    gc.collect()
    started, rounds = time.perf_counter(), 0
    while rounds < min_rounds or time.perf_counter() - started < seconds:
        for call, timing in zip(calls, timings, strict=True):
            begin = time.perf_counter()
            call()
            timing.seconds.append(time.perf_counter() - begin)
        rounds += 1
    return timings


def ratio_to_original(timing: Timing, timings: Sequence[Timing]) -> float | None:
    """How many times faster than the original, the median over the rounds; None without an original."""
    original = next((each for each in timings if each.original), None)
    if original is None or original is timing:
        return None
    return statistics.median(theirs / own for theirs, own in zip(original.seconds, timing.seconds, strict=True))


def result(work: Work, timings: Sequence[Timing]) -> dict[str, Any]:
    """Everything measured, as JSON has it."""
    contenders = []
    for timing in timings:
        low, high = _quartiles(timing.seconds)
        contenders.append(
            {
                "name": timing.name,
                "original": timing.original,
                "compile_s": round(timing.prepare_s, 3),
                "first_call_s": round(timing.first_s, 4),
                "median_s": round(timing.median_s, 6),
                "quartiles_s": [round(low, 6), round(high, 6)],
                "repetitions": len(timing.seconds),
                "per_s": round(work.amount / timing.median_s, 3),
                "times_faster": _rounded(ratio_to_original(timing, timings)),
            }
        )
    return {"subject": work.subject, "amount": work.amount, "unit": work.unit, **work.details, "contenders": contenders}


def machine() -> dict[str, Any]:
    """Device and versions."""
    import jax

    return {
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """The results for people, one line per contender."""
    parts = []
    for each in results:
        head = ("", "median", "quartiles", each["unit"] + "/s", "compile", "faster")
        rows = [_row(contender) for contender in each["contenders"]]
        parts.append(f"{each['subject']}\n{markdown_table(head, rows)}\n")
    return "\n".join(parts)


def number(value: float) -> str:
    """Three figures, with the thousands apart."""
    return f"{float(f'{value:.3g}'):,.10g}"


def parser(description: str | None, batch: int | None = None) -> argparse.ArgumentParser:
    """The options that all benchmarks share; with a default of `batch`, also those of its size and precision."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--reference", type=Path, metavar="PATH", help="checkout of the PyTorch original, or a folder of checkouts"
    )
    made.add_argument("--seconds", type=float, default=20.0, help="to go on measuring; default: 20")
    made.add_argument("--quick", action="store_true", help="small sizes for a second or so: to see that it still works")
    made.add_argument("--json", type=Path, metavar="FILE", help="also write the JSON there")
    made.set_defaults(over=lambda: False)
    if batch:
        made.add_argument("--batch", type=int, default=batch, help=f"samples of all devices; default: {batch}")
        made.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the arithmetic")
    return made


def run(measure: Callable[[argparse.Namespace], list[dict[str, Any]]], options: argparse.ArgumentParser) -> int:
    """A benchmark's main program: measures, prints a table and a line of JSON; 2 after one sentence if it cannot."""
    arguments = options.parse_args()
    if arguments.quick:
        arguments.seconds = 0.0
        compile_quickly()
    try:
        measured = {**machine(), "results": measure(arguments)}
        if arguments.json:
            write_json(arguments.json, measured)
    except (EvcError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 2
    print(f"{measured['device']}, {measured['cores']} cores, {measured['processor']}\n")
    print(table(measured["results"]))
    print(json.dumps(measured))
    return 0


def compile_quickly() -> None:
    """Programs that run a few times on small numbers need no optimisation."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes beside and moves into place."""
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(json.dumps(value, indent=1) + "\n")
        os.replace(beside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


def _row(contender: dict[str, Any]) -> tuple[str, ...]:
    low, high = contender["quartiles_s"]
    faster = contender["times_faster"]
    return (
        contender["name"],
        _time(contender["median_s"]),
        f"{_time(low)} to {_time(high)}",
        f"{contender['per_s']:,.4g}" if contender["per_s"] < 1000 else f"{contender['per_s']:,.0f}",
        f"{contender['compile_s']:.1f} s",
        "" if faster is None else f"{faster:.2f} x",
    )


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
