"""Converts Resemblyzer's voice encoder to `evc_jax/assets/voice_encoder.npz`; needed once, the result is shipped.

    pip download --no-deps resemblyzer==0.1.4 && unzip Resemblyzer-*.whl resemblyzer/pretrained.pt
    python scripts/convert_voice_encoder.py resemblyzer/pretrained.pt

The weights are those of resemble-ai/Resemblyzer, Apache-2.0.
"""

import argparse
import sys
from pathlib import Path

from evc_jax.errors import EvcError
from evc_jax.files import ASSETS
from evc_jax.models import voice_encoder
from evc_jax.torch_import.originals import convert

FAILED = 2
SYSTEM = "voice_encoder"
ASSET = ASSETS / "voice_encoder.npz"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="Resemblyzer's pretrained.pt")
    parser.add_argument("-o", "--output", type=Path, default=ASSET, help="the .npz to write (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        converted = convert(arguments.checkpoint)
    except EvcError as error:
        print(f"convert_voice_encoder.py: {error}", file=sys.stderr)
        return FAILED
    if converted.system != SYSTEM:
        print(
            f"convert_voice_encoder.py: {arguments.checkpoint} holds {converted.title}; give Resemblyzer's "
            "pretrained.pt.",
            file=sys.stderr,
        )
        return FAILED
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    voice_encoder.save_params(arguments.output, converted.params)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
