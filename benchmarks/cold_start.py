"""The `evc` command from nothing: its help, and converting a short recording with an empty and a filled cache.

    python -m benchmarks.cold_start

Every call is a process of its own. The first conversion ever compiles; what it compiled is kept in a cache (here in a
temporary folder), so the second one ever is what people wait for from then on. Its column "compile" is the call that
filled the cache.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.harness import Contender, Work, compare, parser, result, run
from benchmarks.recordings import speech, with_recording
from evc_jax.audio import io as audio_io
from evc_jax.errors import EvcError
from evc_jax.jax_cache import CACHE_VARIABLE
from evc_jax.pretrained.bundle import load_bundle

# What the script `evc` holds; that one need not be on the path.
EVC = (sys.executable, "-c", "import sys; from evc_jax.cli.commands import main; sys.exit(main())")


def evc(arguments: list[str], cache: Path) -> None:
    """Runs the command in a process of its own.

    Raises:
      EvcError: it failed; the message is the command's.
    """
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    environment[CACHE_VARIABLE] = str(cache)
    done = subprocess.run([*EVC, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise EvcError(done.stderr.strip() or f"evc ended with {done.returncode}.")


def help_page(cache: Path) -> Contender:
    return Contender("evc --help", lambda: lambda: evc(["--help"], cache))


def first_call(convert: Callable[[], None], cache: Path) -> Contender:
    def call():
        shutil.rmtree(cache, ignore_errors=True)
        convert()

    return Contender("first call ever", lambda: call)


def second_call(convert: Callable[[], None], cache: Path) -> Contender:
    def prepare():
        shutil.rmtree(cache, ignore_errors=True)
        convert()
        return convert

    return Contender("second call ever", prepare)


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    bundle = load_bundle(arguments.bundle)
    with tempfile.TemporaryDirectory() as folder:
        cache, recording, output = (Path(folder) / name for name in ("cache", "in.wav", "out.wav"))
        clip_s = 0.5 if arguments.quick else arguments.clip_s
        audio_io.save(recording, speech(clip_s, bundle.audio.sample_rate_hz), bundle.audio.sample_rate_hz)
        command = ["convert", str(recording), "-o", str(output), "--bundle", str(bundle.path)]
        if bundle.has("codegan"):
            command += ["--emotion", bundle.emotions[0]]

        def timed(subject: str, contender: Contender) -> dict[str, Any]:
            return result(Work(subject, 1, "calls"), compare([contender], arguments.seconds / 3, rounds))

        def convert() -> None:
            evc(command, cache)

        rounds = 1 if arguments.quick else 3
        subject, prompt = f"evc convert of {clip_s:g} s", timed("help", help_page(cache))
        if arguments.quick:
            return [prompt, timed(subject, Contender("a call", lambda: convert))]
        return [prompt, timed(subject, second_call(convert, cache)), timed(subject, first_call(convert, cache))]


def options() -> argparse.ArgumentParser:
    return with_recording(parser(__doc__))


if __name__ == "__main__":
    sys.exit(run(measure, options()))
