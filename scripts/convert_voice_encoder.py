"""Converts Resemblyzer's voice encoder to `evc_jax/assets/voice_encoder.npz`; needed once, the result is shipped.

    pip download --no-deps resemblyzer==0.1.4 && unzip Resemblyzer-*.whl resemblyzer/pretrained.pt
    python scripts/convert_voice_encoder.py resemblyzer/pretrained.pt

Needs PyTorch (extra `dev`). The weights are those of resemble-ai/Resemblyzer, Apache-2.0.
"""

import argparse
from pathlib import Path

import torch

from evc_jax.models import voice_encoder

ASSET = Path(voice_encoder.__file__).resolve().parent.parent / "assets" / "voice_encoder.npz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="Resemblyzer's pretrained.pt")
    parser.add_argument("-o", "--output", type=Path, default=ASSET, help="the .npz to write (default: %(default)s)")
    arguments = parser.parse_args()

    checkpoint = torch.load(arguments.checkpoint, map_location="cpu", weights_only=True)
    state = {name: tensor.numpy() for name, tensor in checkpoint["model_state"].items()}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    voice_encoder.save_params(arguments.output, voice_encoder.from_torch(state))
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
