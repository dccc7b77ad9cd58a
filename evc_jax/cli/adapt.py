"""`evc adapt`: its arguments, and running it. Imports nothing slow before it runs."""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from evc_jax.cli.argument_types import number, print_error, say, watched
from evc_jax.conversion import voice_store
from evc_jax.errors import ConfigError
from evc_jax.extras import require_extra

if TYPE_CHECKING:
    from evc_jax.training.adaptation import Adaptation

EPILOG = """\
examples:
  evc adapt my_recordings/ --name me -o my_bundle        about ten minutes on two cores
  evc convert other.wav --bundle my_bundle --voice me -o cloned.wav
  evc adapt my_recordings/ --minutes 0 -o my_bundle      the voice alone; the decoder stays as it is

Recordings of one person: any formats, rates and lengths, at least a minute of speech, better ten. A fifth of them is
held out, and measured before and after: the voice with its register and spectrum (--voice), the decoder (--rendering
decoder). Only what became better is written, and the figures in adaptation.json. Where nothing became better, nothing
is written and the exit code is 1. A bundle in -o is tuned further, and replaced by a better one only."""

MAX_MINUTES = 24 * 60
NOT_BETTER = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("inputs", nargs="+", metavar="RECORDING", help="recordings and folders of one person")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="the bundle's directory")
    parser.add_argument(
        "--minutes",
        type=number(float, 0, MAX_MINUTES),
        default=10.0,
        metavar="N",
        help="about how long it may take on this machine, all together; default: 10",
    )
    parser.add_argument("--name", help="the voice's name for --voice; default: that of the folder or recording")
    begin = "where it begins, as for `evc convert`; default: -o if there, else the package's"
    parser.add_argument("--bundle", metavar="BUNDLE", help=begin)


def run(arguments: argparse.Namespace) -> int:
    """Adapts, and prints what became better; the exit code is `NOT_BETTER` where nothing did."""
    first = Path(arguments.inputs[0]).absolute()
    given = arguments.name or (first.name if first.is_dir() else first.stem)
    if arguments.name is None and not voice_store.is_name(given):
        raise ConfigError(f"{given!r} is no name for a voice; give --name.")
    name, output = voice_store.check_name(given), Path(arguments.output)
    if arguments.bundle and (output / "bundle.json").is_file():
        raise ConfigError(
            f"{output} is a bundle already, with which it would begin; leave out --bundle, or give another -o."
        )
    require_extra("train", "Adapting a bundle")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax warns of unused metadata

    from evc_jax.jax_cache import enable_cache
    from evc_jax.training.adaptation import adapt

    enable_cache()
    with _interruptible():
        result = adapt(
            arguments.inputs,
            output,
            name=name,
            minutes=arguments.minutes,
            bundle=arguments.bundle,
            progress=watched(arguments),
            log=lambda line: print_error("adapt", line),
        )
    say(arguments, _table(result))
    if not result.better:
        say(arguments, "Nothing became better on the held-out speech: nothing was written.")
        return NOT_BETTER
    voice = f" --voice {name}" if set(result.better) - {"decoder"} else ""
    rendering = " --rendering decoder" if result.better == ("decoder",) else ""
    use = f"use it with --bundle {shlex.quote(str(output))}{voice}{rendering}"
    say(arguments, f"{output}: better are {', '.join(result.better)}; {use}")
    return 0


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP interrupt like Ctrl-C: no pieces of the recordings are left on the disk."""
    caught = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) == signal.SIG_DFL]
    for each in caught:
        signal.signal(each, signal.default_int_handler)
    try:
        yield
    finally:
        for each in caught:
            signal.signal(each, signal.SIG_DFL)


def _table(result: Adaptation) -> str:
    head = (
        f"{result.speech_s / 60:.1f} minutes of speech in {result.recordings} recordings; {result.held_out} of "
        f"{result.pieces + result.held_out} pieces held out; {result.steps} steps of tuning; {result.seconds:.0f} s"
    )
    lines = [head, f"{'':10}{'on held-out speech':52}{'before':>8}{'after':>8}"]
    for figure in result.figures:
        if math.isnan(figure.before):  # by a verifier that is not installed
            continue
        values = "".join(f"{value:8.3f}" for value in (figure.before, figure.after))
        lines.append(f"{figure.part:10}{figure.measure:52}{values}")
    return "\n".join(lines)
