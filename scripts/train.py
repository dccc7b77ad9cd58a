"""Trains one system.

    python scripts/train.py --config=configs/speechsplit.py:small --workdir=runs/speechsplit

Every key of the config can be set: `--config=configs/codegan.py:small --config.options.code=pitch
--config.data.datasets=ravdess,emodb`. Whatever ends a training (a kill, a preemption, Ctrl-C), the same command resumes
it. On several hosts, start it on each with `--distributed=auto`. `tensorboard --logdir runs` shows the progress.
"""

import argparse
import sys

from absl import logging

from evc_jax.errors import EvcError
from evc_jax.training import config as training_config

INTERRUPTED = 130


def main() -> int:
    arguments, settings = _parse()
    logging.set_verbosity(logging.FATAL)  # Orbax logs each file, and tracebacks of errors that end in a sentence below
    try:
        config = training_config.parse(training_config.load_config(arguments.config, settings))
        # After the config is checked: a wrong key must not cost JAX's start-up.
        from evc_jax.jax_cache import enable_cache
        from evc_jax.training.loop import train
        from evc_jax.training.processes import joined

        with joined(arguments.distributed, arguments.distributed_timeout):
            enable_cache()
            train(config, arguments.workdir)
    except EvcError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train: interrupted; the same command resumes from the last checkpoint.", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parse() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", required=True, help="configs/NAME.py:VARIANT, such as configs/waveglow.py:small")
    parser.add_argument("--workdir", required=True, help="for checkpoints, metrics and TensorBoard logs; may be gs://")
    how = "on several hosts: auto (TPU pods, Slurm, GKE), or ADDRESS:PORT/COUNT/INDEX on each process"
    parser.add_argument("--distributed", default="", help=how)
    gone = "seconds without a sign of life after which a host counts as gone; at the start three times as long"
    parser.add_argument("--distributed-timeout", type=float, default=100.0, metavar="S", help=f"{gone}; default: 100")
    return parser.parse_known_args()


if __name__ == "__main__":
    sys.exit(main())
