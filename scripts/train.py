"""Trains one system: `evc train` in a checkout; `--help` says how. The code is `evc_jax/training/launch.py`."""

import sys

from evc_jax.cli.commands import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
