"""Compares our networks with golden vectors of the original PyTorch implementation.

    python scripts/check_parity.py                  # the small set in tests/golden
    python scripts/check_parity.py --golden DIR     # of scripts/make_golden.py

Prints one line per file with the largest relative error of outputs, losses and gradients; exits with 1 if one is past
its tolerance (1e-4 for outputs and losses, 1e-3 for gradients) and with 2 if DIR holds nothing to compare. A file past
its tolerance in float32 is compared once more in float64, and the line says so: gradients jump where rounding moves a
rectifier's input across zero.
"""

import argparse
import os
import sys
from pathlib import Path
from zipfile import BadZipFile

# Float32 on a CPU is what the golden vectors were computed with.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from evc_jax.torch_import import golden_checks

OWN = Path(__file__).resolve().parents[1] / "tests" / "golden"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--golden", type=Path, default=OWN, metavar="DIR", help="folder of golden .npz files; default: tests/golden"
    )
    parser.add_argument("--verbose", action="store_true", help="name the worst tensor of each kind")
    arguments = parser.parse_args()
    paths = sorted(arguments.golden.glob("*.npz"))
    if not paths:
        print(f"{arguments.golden} holds no .npz file; give a folder of golden vectors.", file=sys.stderr)
        return 2
    passed = [check(path, arguments.verbose) for path in paths]
    return 0 if all(passed) else 1


def check(path: Path, verbose: bool) -> bool:
    """Checks one file and prints its line; whether it passed."""
    try:
        report = golden_checks.check_file(path)
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        print(f"{path.name:36} FAILED {error}", flush=True)
        return False
    if report is None:
        print(f"{path.name:36} skipped: no network to compare", flush=True)
        return True
    rounding = f"  (in float64; in float32: {report.in_float32.summary()})" if report.in_float32 else ""
    print(f"{path.name:36} {'ok    ' if report.passed else 'FAILED'} {report.summary()}{rounding}", flush=True)
    if verbose:
        for kind, errors in report.errors.items():
            if errors:
                print(f"  worst of {len(errors)} {kind}: {max(errors, key=errors.get)}")
    return report.passed


if __name__ == "__main__":
    sys.exit(main())
