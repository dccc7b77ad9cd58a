"""`python -m evc_jax` is the `evc` command."""

import sys

from evc_jax.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
