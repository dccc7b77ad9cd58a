"""`evc train`: its arguments, and running it. Imports nothing slow before it runs."""

from __future__ import annotations

import argparse
import gc
import shlex
from typing import Any

from evc_jax.cli.argument_types import number, print_error
from evc_jax.errors import ConfigError
from evc_jax.extras import require_extra
from evc_jax.training.logs import LEVELS

EPILOG = """\
examples:
  evc train --list
  evc train --config=speechsplit:small --workdir=runs/speechsplit
  evc train --config=codegan:small --workdir=runs/codegan --config.options.speechsplit=runs/speechsplit
  evc train --config=prosody:small --workdir=runs/mine --config.data.datasets=mine --config.init_from=embedded
  evc train --config=runs/mine/config.json --workdir=runs/again --config.seed=1
  evc train --config=my_configs/wide.py:small --workdir=runs/wide

--config is a config of the package with its variant (full, small, tiny; `--list` shows them), a file of yours with a
function get_config(variant), or the config.json of an earlier run. Every key of it can be set: --config.KEY=VALUE, with
commas where the value is a list (--config.data.datasets=ravdess,emodb), None where it may be missing. A key that does
not exist is answered with those that are like it.

Whatever ends a training (a kill, a preemption, Ctrl-C), the same command resumes it from its last checkpoint.
`tensorboard --logdir runs` shows its curves, pictures and sounds. --config.init_from=WORKDIR, a bundle's folder or
"embedded" starts with trained parameters. On several hosts start it on each with --distributed=auto.

--sweep trains nothing, it prints the command of each point of a grid:
  evc train --config=codegan:full --workdir=runs/sweep \\
      --sweep optimizer.learning_rate=1e-4,3e-4 options.discriminator_steps=3,5
prints four commands with the workdirs runs/sweep/learning_rate=1e-4,discriminator_steps=3 and so on; behind it
  ... | sh                                        runs one after the other
  ... | tr '\\n' '\\0' | xargs -0 -n1 -P8 sh -c     eight at a time
Where a value is itself a list, its entries are joined by +: data.datasets=ravdess,ravdess+emodb has two points. Every
point is checked as a training would check it.

Exit codes: 0 finished, 2 something to mend, 130 interrupted, --stopped-code where SIGTERM ended it before its end.
Needs `pip install 'evc_jax[train]'`."""

INTERRUPTED = 130
# Python's own. A training runs for days, and what waits in garbage may hold arrays.
_COLLECTOR = (700, 10, 10)
# What a training takes besides its config and place, and hands to each command of a sweep.
_LAUNCH: dict[str, dict[str, Any]] = {
    "distributed": {
        "default": "",
        "metavar": "HOW",
        "help": "on several hosts: auto (TPU pods, Slurm, GKE), or ADDRESS:PORT/COUNT/INDEX on each process",
    },
    "distributed_timeout": {
        "type": float,
        "default": 100.0,
        "metavar": "S",
        "help": "seconds without a sign of life after which a host counts as gone; at the start three times as long; "
        "default: 100",
    },
    "stopped_code": {
        "type": int,
        "default": 0,
        "metavar": "CODE",
        "help": "exit code of a training that SIGTERM ended before its last step, for schedulers that then start it "
        "again; default: 0",
    },
    "verbosity": {
        "choices": LEVELS,
        "default": "warning",
        "help": "which messages of JAX are shown; from info on, those of Orbax and grain too. What JAX's variables ask "
        "for, such as JAX_LOG_COMPILES=1, is shown unless it is error. Default: warning",
    },
    "profiler_port": {
        "type": number(int, 1, 65535),
        "default": 0,
        "metavar": "PORT",
        "help": "serves profiles on this port of every host: `tensorboard --logdir` captures them at localhost:PORT",
    },
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments; those of its config, --config.KEY=VALUE, are left over."""
    described = "NAME:VARIANT of a config of the package, FILE.py:VARIANT, or RUN/config.json"
    parser.add_argument("--config", metavar="CONFIG", help=described)
    parser.add_argument("--workdir", metavar="DIR", help="for checkpoints, metrics and TensorBoard logs; may be gs://")
    parser.add_argument("--list", action="store_true", help="print the package's configs with their variants")
    grid = "train nothing, print the command of each point of a grid"
    parser.add_argument("--sweep", nargs="+", metavar="KEY=VALUE,VALUE", help=grid)
    for name, settings in _LAUNCH.items():
        parser.add_argument(f"--{name.replace('_', '-')}", **settings)


def run(arguments: argparse.Namespace) -> int:
    """Trains, or prints what is asked for; `arguments.settings` are the words that the parser has left over."""
    require_extra("train", "A training")
    if arguments.list:
        return _list()
    if not (arguments.config and arguments.workdir):
        missing = "--workdir=DIR" if arguments.config else "--config=NAME:VARIANT"
        raise ConfigError(f"A training needs {missing}; `evc train --list` shows the configs of the package.")
    if arguments.sweep:
        return _print_sweep(arguments)
    from evc_jax.training.launch import launch

    gc.set_threshold(*_COLLECTOR)
    try:
        finished = launch(
            arguments.config,
            arguments.settings,
            arguments.workdir,
            distributed=arguments.distributed,
            distributed_timeout_s=arguments.distributed_timeout,
            verbosity=arguments.verbosity,
            profiler_port=arguments.profiler_port,
        )
    except KeyboardInterrupt:
        print_error("train", "interrupted; the same command resumes from the last checkpoint.")
        return INTERRUPTED
    return 0 if finished else arguments.stopped_code


def _list() -> int:
    from evc_jax.training.config import config_title, config_variants, packaged_configs

    for name, file in packaged_configs().items():
        print(f"{name:17} {config_title(file)}\n{'':17} {', '.join(config_variants(file))}")
    return 0


def _print_sweep(arguments: argparse.Namespace) -> int:
    from evc_jax.training.grid import points

    for point in points(arguments.config, arguments.workdir, arguments.sweep, arguments.settings):
        shared = [
            f"--{name.replace('_', '-')}={getattr(arguments, name)}"
            for name, option in _LAUNCH.items()
            if getattr(arguments, name) != option["default"]
        ]
        place = [f"--config={arguments.config}", f"--workdir={point.workdir}"]
        print(shlex.join(["evc", "train", *place, *arguments.settings, *shared, *point.settings]))
    return 0
