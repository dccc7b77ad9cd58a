"""Makes golden vectors: what PyTorch computes with random weights, for scripts/check_parity.py.

    python scripts/make_golden.py --out golden
    python scripts/make_golden.py --out golden --waveglow CHECKOUT --speechsplit CHECKOUT --seed 3
    python scripts/check_parity.py --golden golden

SpeechSplit and WaveGlow come from checkouts of https://github.com/auspicious3000/SpeechSplit and
https://github.com/NVIDIA/waveglow, or without one from our own restatements in PyTorch (benchmarks/torch_*.py), as do
the vectors in tests/golden. VoiceGAN and CodeGAN have no public original and are always restated. Needs PyTorch
(`pip install torch`).
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evc_jax.errors import EvcError


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the .npz files")
    for name, repository in (("waveglow", "NVIDIA/waveglow"), ("speechsplit", "auspicious3000/SpeechSplit")):
        about = f"of {repository}; default: our restatement"
        parser.add_argument(f"--{name}", type=Path, metavar="CHECKOUT", help=about)
    parser.add_argument("--seed", type=int, default=0, help="of weights and inputs; default: 0")
    arguments = parser.parse_args()
    try:
        from benchmarks.golden import write_golden
    except ImportError as error:
        print(f"make_golden: it needs PyTorch ({error}); run `pip install torch`.", file=sys.stderr)
        return 2
    try:
        print(*write_golden(arguments.out, arguments.waveglow, arguments.speechsplit, arguments.seed), sep="\n")
    except (EvcError, OSError) as error:
        print(f"make_golden: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
