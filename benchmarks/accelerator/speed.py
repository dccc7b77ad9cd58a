"""Our programs beside PyTorch, eager and compiled, in the same precision.

In the order of what a short run most needs to know. Where a checkout of an original is missing, ours are measured
alone.
"""

from __future__ import annotations

import functools
import importlib
import os
from typing import Any

from benchmarks import originals
from benchmarks.accelerator.part import Part, main
from evc_jax.errors import ConfigError

# The benchmark, its options, and the original's file where a checkout is needed. Names are those of `expected.WORKS`.
SECONDS = 3.0
WORKS: dict[str, tuple[str, list[str], tuple[str, str] | None]] = {
    "LSTM": ("lstm", ["--torch"], None),
    "SpeechSplit step": ("speechsplit_training", [], originals.SPEECHSPLIT),
    "CodeGAN step": ("gan_training", ["--systems", "codegan"], None),
    "VoiceGAN step": ("gan_training", ["--systems", "voicegan"], None),
    "WaveGlow synthesis, batch 16": ("waveglow_synthesis", ["--batch=16", "--dtype=bfloat16"], originals.WAVEGLOW),
    "WaveGlow synthesis, batch 1": ("waveglow_synthesis", ["--dtype=bfloat16"], originals.WAVEGLOW),
    "WaveGlow step": ("waveglow_training", ["--dtype=bfloat16"], originals.WAVEGLOW),
}


def measure(part: Part) -> None:
    for name, (benchmark, arguments, original) in WORKS.items():
        part.attempt(name, functools.partial(run, part, benchmark, arguments, original))
        if name == "LSTM":
            part.add("EVC_LSTM", faster_lstm(part.results["LSTM"]))
            os.environ["EVC_LSTM"] = part.results["EVC_LSTM"]


def run(part: Part, benchmark: str, arguments: list[str], original: tuple[str, str] | None) -> dict[str, Any]:
    """The results of one benchmark."""
    if part.over():
        raise TimeoutError("no time is left")
    module = importlib.import_module(f"benchmarks.{benchmark}")
    parsed = module.options().parse_args([*arguments, f"--seconds={SECONDS}"])
    if original and part.references:
        parsed.reference = _checkout(part, original)
    parsed.quick, parsed.over = part.rehearsal, part.over
    (found,) = module.measure(parsed)
    return found


def _checkout(part: Part, original: tuple[str, str]) -> Any:
    try:
        return originals.find(part.references, *original)
    except ConfigError as error:
        print(error, flush=True)
        return None


def faster_lstm(measured: dict[str, Any]) -> str:
    """The implementation that took less time; the scan where nothing was measured."""
    medians_s = {each["name"]: each["median_s"] for each in measured.get("contenders", ()) if not each["original"]}
    return min(medians_s, key=lambda name: medians_s[name], default="scan")


if __name__ == "__main__":
    main(measure)
