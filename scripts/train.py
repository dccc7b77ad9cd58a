"""Trains one system; `--help` says how. The code is `evc_jax/training/launch.py`."""

import sys

from evc_jax.training.launch import main

if __name__ == "__main__":
    sys.exit(main())
