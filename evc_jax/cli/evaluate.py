"""`evc evaluate`: its arguments, and running it. Imports nothing slow before it runs."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evc_jax.cli.argument_types import BUNDLE_HELP, names_of, number, say, strengths_of, watched
from evc_jax.evaluation.settings import QUICK_SECTIONS, SECTIONS, SPLITS, EvaluationSettings
from evc_jax.extras import require_extra

EPILOG = """\
examples:
  evc evaluate --data datasets --datasets ravdess,emodb
  evc evaluate my_bundle --quick -o quick                two minutes: one strength, three emotions
  evc evaluate my_bundle --split validation --sections emotion,words --strengths 0.75,1,1.25
  evc evaluate my_bundle --vocoder griffin-lim -o griffin_lim

Writes index.html with sound and pictures, and evaluation.json. Conversions are compared with the recordings themselves,
with real emotional speech of the same speakers, with copies by WORLD and Griffin-Lim, and with rules. What was measured
is kept in the output folder: an evaluation that was interrupted goes on. The judges come with
`pip install 'evc_jax[evaluation]'`."""

QUICK_STRENGTHS, QUICK_RECORDINGS = (1.0,), 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("bundle", nargs="?", metavar="BUNDLE", help=BUNDLE_HELP)
    parser.add_argument("--data", default="datasets", metavar="DIR", help="folder of the datasets; default: datasets")
    parser.add_argument("--datasets", default="ravdess,emodb", help="names joined by commas; default: ravdess,emodb")
    parser.add_argument("--split", choices=SPLITS, default="test", help="validation for choosing; default: test")
    parser.add_argument("--sections", help=f"of {', '.join(SECTIONS)}, joined by commas; default: all")
    parser.add_argument("--strengths", help="of the emotions, joined by commas; default: 0.5,1,1.5")
    parser.add_argument("--recordings", type=number(int, 1, 1000), metavar="N", help="of each speaker; default: 4")
    parser.add_argument("--quick", action="store_true", help="two minutes on two cores, wide intervals")
    parser.add_argument("--waveglow", action="append", default=[], metavar="DIR", help="a training to measure as well")
    parser.add_argument("-o", "--output", default="evaluation", metavar="DIR", help="default: evaluation")


def settings_from(arguments: argparse.Namespace, options: dict[str, Any]) -> EvaluationSettings:
    """What the arguments ask for; what is not given depends on whether it should be quick.

    Raises:
      ConfigError: an unknown section, or strengths that are no numbers.
    """
    quick = arguments.quick
    sections: tuple[str, ...] = QUICK_SECTIONS if quick else SECTIONS
    if arguments.sections is not None:
        sections = names_of(arguments.sections)
    strengths = QUICK_STRENGTHS if quick else EvaluationSettings.strengths
    if arguments.strengths is not None:
        strengths = strengths_of(arguments.strengths)
    recordings = arguments.recordings or (QUICK_RECORDINGS if quick else EvaluationSettings.recordings)
    return EvaluationSettings(
        arguments.data,
        arguments.datasets,
        Path(arguments.output),
        arguments.split,
        sections,
        strengths,
        recordings,
        quick,
        options,
        tuple(arguments.waveglow),
    )


def run(arguments: argparse.Namespace, options: dict[str, Any], load: Callable[[Any], Any]) -> int:
    """Runs the command; `load` makes the converter of a bundle."""
    from evc_jax.conversion.options import options_from
    from evc_jax.pretrained.bundle import load_bundle

    require_extra("train", "Reading the datasets of an evaluation")
    settings = settings_from(arguments, options)
    bundle = load_bundle(arguments.bundle, watched(arguments))
    options_from(options).check(bundle)
    converter = load(bundle)
    from evc_jax.evaluation.run import FIGURES, PAGE, evaluate

    logging.getLogger("absl").setLevel(logging.ERROR)
    evaluate(converter, settings, watched(arguments), lambda line: say(arguments, f"evc evaluate: {line}", sys.stderr))
    for name in (PAGE, FIGURES):
        say(arguments, settings.output / name)
    return 0
