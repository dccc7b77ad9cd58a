"""Prints one training command per point of a grid; nothing is run.

    python scripts/sweep.py --config=configs/codegan.py:full --workdir=runs/sweep \\
        optimizer.learning_rate=1e-4,3e-4 options.discriminator_steps=3,5

prints four lines such as

    python scripts/train.py --config=configs/codegan.py:full \\
        --workdir=runs/sweep/learning_rate=1e-4,discriminator_steps=3 \\
        --config.optimizer.learning_rate=1e-4 --config.options.discriminator_steps=3

KEY=VALUE,VALUE,... sweeps a key of the config, named by its path. Where a value is itself a list, its entries are
joined by +: data.datasets=ravdess,ravdess+emodb has two points, the second with two datasets. --config.KEY=VALUE and
--distributed=HOW go to every command as they are. Every point is checked as scripts/train.py would check it.

    ... | sh                                  runs one after the other
    ... | tr '\\n' '\\0' | xargs -0 -n1 -P8 sh -c    eight at a time
"""

import argparse
import itertools
import shlex
import sys
from collections import Counter
from collections.abc import Iterator

from evc_jax.config import check_key
from evc_jax.errors import ConfigError, EvcError
from evc_jax.training.settings import leaves, load_settings


def commands(config: str, workdir: str, grid: list[str], common: list[str]) -> Iterator[list[str]]:
    """The words of each point's command; the last key varies fastest.

    Raises:
      ConfigError: an unknown key, or a point that scripts/train.py would refuse.
    """
    shared = [word for word in common if word.startswith("--config.")]
    known = leaves(load_settings(config, shared))
    swept = dict(parse_axis(text, known) for text in grid)
    if len(swept) < len(grid):
        raise ConfigError(f"A key is swept twice in {' '.join(grid)}; give all of its values at once.")
    names = Counter(key.rsplit(".", 1)[-1] for key in swept)
    labels = [last if names[last := key.rsplit(".", 1)[-1]] == 1 else key for key in swept]
    for point in itertools.product(*swept.values()):
        folder = ",".join(f"{label}={value.replace('/', '_')}" for label, value in zip(labels, point, strict=True))
        values = dict(zip(swept, point, strict=True))
        settings = [f"--config.{key}={as_flag(value, known[key])}" for key, value in values.items()]
        load_settings(config, [*shared, *settings])
        place = f"--workdir={workdir.rstrip('/')}/{folder}"
        yield ["python", "scripts/train.py", f"--config={config}", place, *common, *settings]


def parse_axis(text: str, known: dict[str, object]) -> tuple[str, list[str]]:
    """`KEY=VALUE,VALUE` as the key and its values."""
    key, equals, values = text.partition("=")
    key, points = key.removeprefix("config."), values.split(",")
    check_key(key, known)
    if not equals or not all(points) or len({point.replace("/", "_") for point in points}) < len(points):
        raise ConfigError(f"{text!r} is no axis of a grid; write {key}=VALUE,VALUE,... with different values.")
    return key, points


def as_flag(value: str, current: object) -> str:
    """A value as scripts/train.py reads it."""
    return value.replace("+", ",") if isinstance(current, tuple | list) else value


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", required=True, help="as for scripts/train.py: configs/NAME.py:VARIANT")
    parser.add_argument("--workdir", required=True, help="each run gets a folder in it, named after its point")
    parser.add_argument("axes", nargs="+", metavar="KEY=VALUE,VALUE", help="a key of the config and its values")
    arguments, common = parser.parse_known_args()
    if stray := [word for word in common if not word.startswith(("--config.", "--distributed="))]:
        parser.error(f"unknown argument {stray[0]}")
    try:
        points = list(commands(arguments.config, arguments.workdir, arguments.axes, common))
    except EvcError as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2
    print("\n".join(shlex.join(point) for point in points))
    return 0


if __name__ == "__main__":
    sys.exit(main())
