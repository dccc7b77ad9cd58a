"""Converts a checkpoint of the original PyTorch systems to Orbax parameters.

    python scripts/convert_checkpoint.py 660000-G.ckpt -o runs/speechsplit

`--help` says which files it knows, and what to tell it that they do not. Needs no PyTorch and runs nothing in the file.
"""

import os
import sys

# Nothing here is worth an accelerator.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from evc_jax.torch_import.conversion_command import main

if __name__ == "__main__":
    sys.exit(main())
