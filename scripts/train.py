"""Trains one system.

    python scripts/train.py --config=configs/speechsplit.py:small --workdir=runs/speechsplit

Every key of the config can be set on the command line (`--config.batch_size=32`). The same command resumes an
interrupted training. Watch it with `tensorboard --logdir runs`.
"""

import sys

from absl import app, flags, logging
from ml_collections import config_flags

from evc_jax.errors import EvcError
from evc_jax.training import config as training_config

_CONFIG = config_flags.DEFINE_config_file("config", None, "configs/NAME.py:VARIANT, e.g. configs/waveglow.py:small.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where checkpoints, metrics and TensorBoard logs go.")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]}")
    logging.set_verbosity(logging.WARNING)  # Orbax tells of every file otherwise
    try:
        config = training_config.parse(_CONFIG.value)
        # After the config is checked: a wrong key must not cost JAX's start-up.
        from evc_jax.training.loop import train

        train(config, _WORKDIR.value)
    except EvcError as error:
        print(f"train: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main)
