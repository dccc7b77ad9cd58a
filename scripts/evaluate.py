"""Measures a bundle on the test split of prepared datasets.

    python scripts/evaluate.py --data datasets --datasets ravdess,emodb [--report transfer] [--bundle DIR]

Reports: `emotions` (pitch of converted emotions beside the speakers' own), `transfer` (closeness of each aspect to the
recording that it is taken from), `controls` (effect of each control), `vocoders` (copy-synthesis; `--waveglow DIR` adds
a training).
"""

import argparse
import sys
from collections.abc import Callable, Sequence

from evc_jax.conversion.converter import Converter
from evc_jax.data.dataset import open_split
from evc_jax.errors import DataError, EvcError
from evc_jax.evaluation.controls import evaluate_controls
from evc_jax.evaluation.emotions import evaluate_emotions
from evc_jax.evaluation.transfer import evaluate_transfer
from evc_jax.evaluation.vocoders import evaluate_vocoders
from evc_jax.jax_cache import enable_cache

FIELDS = ("audio", "f0_hz", "speaker", "emotion", "speaker_embedding", "text_id")


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    enable_cache()
    reports: dict[str, Callable[[Converter, Sequence], object]] = {
        "emotions": lambda converter, records: evaluate_emotions(converter, records, arguments.strength),
        "transfer": lambda converter, records: evaluate_transfer(converter, records, arguments.pairs),
        "controls": lambda converter, records: evaluate_controls(converter, records, arguments.recordings),
        "vocoders": lambda converter, records: evaluate_vocoders(
            converter.bundle, records, arguments.waveglow, arguments.recordings
        ),
    }
    try:
        records = open_split(arguments.data, arguments.datasets, "test", FIELDS)
        if not len(records):
            raise DataError(f"The test split of {arguments.datasets} is empty; name other datasets.")
        print(reports[arguments.report](Converter.load(arguments.bundle), records))
    except EvcError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="datasets", help="folder of the datasets; default: datasets")
    parser.add_argument("--datasets", default="ravdess,emodb", help="names joined by commas; default: ravdess,emodb")
    parser.add_argument("--report", choices=("emotions", "transfer", "controls", "vocoders"), default="emotions")
    parser.add_argument("--strength", type=float, default=1.0, help="of the emotions; default: 1")
    parser.add_argument("--pairs", type=_count, default=24, help="to transfer between; default: 24")
    parser.add_argument("--recordings", type=_count, default=16, help="for controls and vocoders; default: 16")
    parser.add_argument("--waveglow", action="append", default=[], metavar="DIR", help="a training to measure as well")
    parser.add_argument("--bundle", help="default: the bundle that comes with the package")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
