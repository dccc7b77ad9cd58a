"""Trains one system.

    python scripts/train.py --config=configs/speechsplit.py:small --workdir=runs/speechsplit

Every key of the config can be set on the command line: `--config.batch_size=32`, or in short behind the variant:
`--config=configs/codegan.py:full,code=pitch_rhythm`. Whatever ends a training (a kill, a preemption, Ctrl-C), the same
command goes on. On several hosts, start it on each with `--distributed=auto`. OnProgress it with
`tensorboard --logdir runs`.
"""

import errno
import os
import sys
import threading
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from evc_jax.errors import EvcError, TrainingError
from evc_jax.training import config as training_config

INTERRUPTED = 130

_CONFIG = config_flags.DEFINE_config_file("config", None, "configs/NAME.py:VARIANT, e.g. configs/waveglow.py:small.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where checkpoints, metrics and TensorBoard logs go; may be gs://.")
_DISTRIBUTED = flags.DEFINE_string(
    "distributed", "", "On several hosts: auto (TPU pods, Slurm, GKE), or ADDRESS:PORT/COUNT/INDEX on each process."
)


def parse_flags(argv: list[str]) -> list[str]:
    """Like absl's, but whatever is wrong with a flag or the config it names is one sentence."""
    try:
        left = flags.FLAGS(argv)
        if len(left) > 1:
            raise flags.Error(f"unexpected argument {left[1]}")
        return left
    except AttributeError as error:  # what ml_collections raises
        _fail(f"The config has no key {error}; its file shows those it has.")
    except (flags.Error, EvcError, TypeError, ValueError, OSError) as error:
        # An error inside a config file arrives as text, behind its traceback.
        _fail(" ".join(str(error).rsplit("Error: ", 1)[-1].split()))


def _load(holder: flags.FlagHolder) -> ConfigDict:
    """The config; ml_collections tells of a missing file only when it is used."""
    try:
        return holder.value.copy_and_resolve_references()
    except OSError as error:
        _fail(" ".join(str(error).split(": ", 1)[-1].split()) + "; give --config=configs/NAME.py:VARIANT.")


def _thread_failed(arguments: threading.ExceptHookArgs) -> None:
    """A full disk ends TensorBoard's thread, too; the loop tells of it in one sentence."""
    if getattr(arguments.exc_value, "errno", None) != errno.ENOSPC:
        threading.__excepthook__(arguments)


def _fail(sentence: str) -> NoReturn:
    print(f"train: {sentence}", file=sys.stderr)
    sys.exit(2)


def main(argv: list[str]) -> None:
    del argv
    threading.excepthook = _thread_failed
    logging.set_verbosity(logging.FATAL)  # Orbax logs each file and the tracebacks of errors that are told below
    try:
        config = training_config.parse(_load(_CONFIG))
        # After the config is checked: a wrong key must not cost JAX's start-up.
        from evc_jax.jax_cache import enable_cache
        from evc_jax.training.loop import train
        from evc_jax.training.parallel import connect

        connect(_DISTRIBUTED.value)
        enable_cache()
        train(config, _WORKDIR.value)
    except TrainingError as error:
        # At once: on a full disk, what Orbax and TensorBoard left behind would fail noisily while Python ends.
        print(f"train: {error}", file=sys.stderr, flush=True)
        os._exit(2)
    except EvcError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        print("train: interrupted; the same command goes on from the last checkpoint.", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=parse_flags)
