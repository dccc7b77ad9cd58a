"""Measures a bundle on the test split of prepared datasets: does an emotion move the voice as its speaker would?

    python scripts/evaluate.py --data datasets --datasets ravdess,emodb [--bundle DIR]
"""

import argparse
import sys

from evc_jax.compilation import enable_cache
from evc_jax.conversion import Converter
from evc_jax.data.source import open_split
from evc_jax.errors import EvcError
from evc_jax.evaluation.report import evaluate_emotions

FIELDS = ("audio", "f0_hz", "speaker", "emotion", "speaker_embedding")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="datasets", help="folder of the datasets; default: datasets")
    parser.add_argument("--datasets", default="ravdess,emodb", help="names joined by commas; default: ravdess,emodb")
    parser.add_argument("--strength", type=float, default=1.0, help="of the conversions; default: 1")
    parser.add_argument("--bundle", help="default: the bundle that comes with the package")
    arguments = parser.parse_args()
    enable_cache()
    try:
        source = open_split(arguments.data, arguments.datasets, "test", FIELDS)
        records = (source[i] for i in range(len(source)))
        print(evaluate_emotions(Converter.load(arguments.bundle), records, arguments.strength))
    except EvcError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
