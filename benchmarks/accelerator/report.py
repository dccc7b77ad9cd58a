"""The page on a run: what was found, beside what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.harness import number, table
from evc_jax.evaluation.tables import markdown_table
from evc_jax.models.lstm import IMPLEMENTATIONS

Results = Mapping[str, Mapping[str, Any]]


def report(results: Results) -> str:
    """Markdown, a section for each part that ran; `results` are those of each part by its name."""
    sections = {
        "machine": _machine,
        "correctness": _correctness,
        "speed": lambda found: _speed(found, results.get("machine", {})),
        "training": _training,
        "bundle": _bundle,
    }
    parts = ["# A run on an accelerator"]
    for name, section in sections.items():
        if name in results:
            parts.append(f"## {name.capitalize()}\n\n{section(results[name])}")
            ended = results[name].get("ended")
            if ended:
                parts.append(f"This part {ended}; what it had found until then is above.")
    return "\n\n".join(parts) + "\n"


def _machine(found: Mapping[str, Any]) -> str:
    machine = found.get("machine", {})
    lines = [f"{machine.get('devices', '?')} x {machine.get('device', '?')}, {machine.get('cores', '?')} cores."]
    lines += [found["nvidia-smi"]] if found.get("nvidia-smi") else []
    units = {"float32_flops_per_s": 1e12, "bfloat16_flops_per_s": 1e12, "bytes_per_s": 1e12, "start_s": 1e-6}
    names = ("float32 products, TFLOP/s", "bfloat16 products, TFLOP/s", "copies, TB/s", "start of a program, us")
    rows = [
        [name, number(found[key] / unit) if isinstance(found.get(key), float) else "-"]
        for name, (key, unit) in zip(names, units.items(), strict=True)
    ]
    return "\n\n".join([*lines, markdown_table(["", "measured"], rows)])


def _correctness(found: Mapping[str, Any]) -> str:
    rows = []
    for name, value in found.items():
        if isinstance(value, dict):
            verdict = "failed to run" if "failed" in value else "ok" if value.get("passed") else "DIFFERS"
            detail = next((value[key] for key in ("failed", "largest", "difference", "report") if key in value), "")
            rows.append([name, verdict, f"{detail:.2g}" if isinstance(detail, float) else str(detail)])
    return markdown_table(["what", "", "largest relative error"], rows)


def _speed(found: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    measured = {name: value for name, value in found.items() if isinstance(value, dict) and "contenders" in value}
    failed = [f"- {name}: {value['failed']}" for name, value in found.items() if "failed" in value]
    head = ["", "measured, ms", "expected, ms", "times faster than eager PyTorch", "TFLOP/s", "of the products' speed"]
    rows = [[name, *_row(value, machine, machine.get(f"expected/{name}", {}))] for name, value in measured.items()]
    parts = [markdown_table(head, rows), table(list(measured.values())).strip(), *failed]
    return "\n\n".join(parts + [f"The faster LSTM: `EVC_LSTM={found['EVC_LSTM']}`."] * ("EVC_LSTM" in found))


def _row(value: Mapping[str, Any], machine: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """The fastest of ours."""
    ours = min((each for each in value["contenders"] if _is_ours(each)), key=lambda each: each["median_s"])
    calls = value["amount"] if value["unit"] == "steps" else 1  # what was expected is of one step
    cells = [number(1e3 * ours["median_s"] / calls)]
    cells.append(number(1e3 * expected["expected_s"]) if "expected_s" in expected else "-")
    cells.append(f"{ours['times_faster']:.2f}" if ours["times_faster"] else "-")
    flops_per_s = 1e9 * value.get("gflop", 0) / ours["median_s"]
    peak = machine.get(f"{value.get('dtype', 'float32')}_flops_per_s")
    cells.append(number(flops_per_s / 1e12) if flops_per_s else "-")
    cells.append(f"{flops_per_s / peak:.1%}" if flops_per_s and isinstance(peak, float) else "-")
    return cells


def _is_ours(contender: Mapping[str, Any]) -> bool:
    return contender["name"].startswith("evc_jax") or contender["name"] in IMPLEMENTATIONS


def _training(found: Mapping[str, Any]) -> str:
    rows = []
    for name, variant in found.get("variants", {}).items():
        value = found.get(name, {})
        validation = value.get("validation", {})
        metrics = "  ".join(f"{key} {metric:.4g}" for key, metric in validation.items() if key not in ("split", "step"))
        steps = ", ".join(map(str, value.get("steps", ()))) or "none"
        speed = f"{value['steps_per_s']:.1f}" if value.get("steps_per_s") else "-"
        rows.append(
            [name, variant, steps, speed, str(value.get("exit code", "-")), metrics or str(value.get("failed", ""))]
        )
    return markdown_table(["", "variant", "steps", "steps/s at the end", "exit code", "validation"], rows)


def _bundle(found: Mapping[str, Any]) -> str:
    lines = []
    pieces = found.get("bundle", {}).get("pieces")
    if pieces:
        lines.append(
            f"The bundle of {', '.join(found['bundle']['networks'])} in {len(pieces)} pieces, put together by:"
        )
        lines.append("```sh\nevc bundle join *.bundle -o my_bundle\n```")
    for name, seconds in found.get("conversion", {}).items():
        if isinstance(seconds, float):
            lines.append(f"A conversion of 3 s, features at hand, {name.removesuffix('_s')}: {1e3 * seconds:.1f} ms.")
    samples = found.get("samples")
    lines += [f"![{file}]({file})" for file in samples] if isinstance(samples, list) else []
    lines += [f"{name} failed: {value['failed']}" for name, value in found.items() if "failed" in value]
    return "\n\n".join(lines)
