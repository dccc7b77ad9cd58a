"""Trains one system.

    python scripts/train.py --config=configs/speechsplit.py:small --workdir=runs/speechsplit

Every key of the config can be set: `--config=configs/codegan.py:small --config.options.code=pitch
--config.data.datasets=ravdess,emodb`. Whatever ends a training (a kill, a preemption, Ctrl-C), the same command resumes
it. `--config=RUN/config.json` trains as an earlier run did. On several hosts, start it on each with
`--distributed=auto`. `tensorboard --logdir runs` shows the progress. `python -m evc_jax.training.launch` is the same
without a checkout.
"""

import argparse
import sys
from collections.abc import Sequence

from evc_jax.errors import EvcError
from evc_jax.extras import require_extra
from evc_jax.training.logs import LEVELS, set_verbosity
from evc_jax.training.settings import load_settings

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Trains as the words of a command line ask for, by default those of this process; returns the exit code."""
    arguments, settings = _parse(argv)
    set_verbosity(arguments.verbosity)
    try:
        require_extra("train", "A training")
        config = load_settings(arguments.config, settings)
        # After the config is checked: a wrong key must not cost JAX's start-up.
        import jax

        from evc_jax.jax_cache import enable_cache
        from evc_jax.training.loop import train
        from evc_jax.training.processes import joined

        with joined(arguments.distributed, arguments.distributed_timeout):
            enable_cache()
            if arguments.profiler_port:
                jax.profiler.start_server(arguments.profiler_port)
            finished = train(config, arguments.workdir).finished
        if not finished:
            return arguments.stopped_code
    except EvcError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train: interrupted; the same command resumes from the last checkpoint.", file=sys.stderr)
        return INTERRUPTED
    return 0


def port(text: str) -> int:
    """A TCP port of the command line."""
    if not 0 < int(text) < 65536:
        raise ValueError(text)
    return int(text)


def _parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    described = "configs/NAME.py:VARIANT, such as configs/waveglow.py:small, or RUN/config.json"
    parser.add_argument("--config", required=True, help=described)
    parser.add_argument("--workdir", required=True, help="for checkpoints, metrics and TensorBoard logs; may be gs://")
    how = "on several hosts: auto (TPU pods, Slurm, GKE), or ADDRESS:PORT/COUNT/INDEX on each process"
    parser.add_argument("--distributed", default="", help=how)
    gone = "seconds without a sign of life after which a host counts as gone; at the start three times as long"
    parser.add_argument("--distributed-timeout", type=float, default=100.0, metavar="S", help=f"{gone}; default: 100")
    stopped = "exit code of a training that SIGTERM ended before its last step, for schedulers that then start it again"
    parser.add_argument("--stopped-code", type=int, default=0, metavar="CODE", help=f"{stopped}; default: 0")
    shown = (
        "which messages of JAX are shown; from info on, those of Orbax and grain too. What JAX's variables ask for, "
        "such as JAX_LOG_COMPILES=1, is shown unless it is error. Default: %(default)s"
    )
    parser.add_argument("--verbosity", choices=LEVELS, default="warning", help=shown)
    served = "serves profiles on this port of every host: `tensorboard --logdir` captures them at localhost:PORT"
    parser.add_argument("--profiler-port", type=port, default=0, help=served)
    return parser.parse_known_args(argv)


if __name__ == "__main__":
    sys.exit(main())
