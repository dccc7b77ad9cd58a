"""Prepares a corpus for training, the same as `evc prepare`: `python scripts/prepare.py ravdess PATH -o datasets`."""

import sys

from evc_jax.cli.commands import main

if __name__ == "__main__":
    sys.exit(main(["prepare", *sys.argv[1:]]))
