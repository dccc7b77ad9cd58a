"""The arguments and the report of `scripts/convert_checkpoint.py`. JAX is imported once the arguments are right."""

from __future__ import annotations

import argparse
import collections
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from evc_jax.config import to_mapping
from evc_jax.errors import EvcError
from evc_jax.pretrained.bundle import CODES, NETWORKS

FAILED = 2
DESCRIPTION = """\
Converts a checkpoint of the original PyTorch systems to Orbax parameters. Needs no PyTorch and runs nothing in it.
Which network FILE holds and its sizes are read off its tensors; the options are for what they do not tell."""
EPILOG = """\
known files:
  660000-G.ckpt, 2800000-G.ckpt     SpeechSplit (the authors', emo-clone's)
  640000-P.ckpt                     its F0 converter
  waveglow_128000                   WaveGlow, with weight norm or after its removal, whole module or state dict
  waveglow_256channels_universal_v5.pt   NVIDIA's WaveGlow of 22.05 kHz
  200000-G.ckpt, 200000-D.ckpt      CodeGAN's and VoiceGAN's players
  pretrained.pt                     Resemblyzer's voice encoder

examples:
  python scripts/convert_checkpoint.py 660000-G.ckpt -o runs/speechsplit
  python scripts/convert_checkpoint.py G.ckpt --hparam freq=4 --hparam chs_grp=8 -o runs/speechsplit
  python scripts/convert_checkpoint.py 200000-G.ckpt --emotions angry,happy,sad,neutral -o runs/codegan
  evc bundle --speechsplit runs/speechsplit --codegan runs/codegan -o my_bundle

DIR becomes the work directory of a finished training, which `evc bundle` takes and which CodeGAN can be trained on.
It is written whole or not at all; an earlier conversion there is replaced, anything else is left alone."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"{self.prog}: {message.rstrip('.')}; see --help.\n")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = _Parser(description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="the checkpoint")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the directory to write")
    parser.add_argument(
        "--hparam",
        action="append",
        default=[],
        type=_hparam,
        metavar="NAME=N",
        help="a number of SpeechSplit's hparams.py that is not the authors', e.g. freq=4 or chs_grp=8; repeatable",
    )
    parser.add_argument(
        "--hop",
        type=_positive,
        metavar="N",
        help="samples per mel frame of a WaveGlow saved as a state dict; default: 256",
    )
    parser.add_argument(
        "--audio",
        choices=("speechsplit", "nvidia"),
        help="the spectrograms a WaveGlow was trained with: SpeechSplit's of 16 kHz, or NVIDIA's of 22.05 kHz and 0 to "
        "8 kHz; default: by the file's name",
    )
    parser.add_argument("--emotions", help="CodeGAN's, joined by commas, in the order of its training")
    parser.add_argument("--code", choices=CODES, help="which codes CodeGAN converts; default: by their channels")
    return parser


def _positive(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,5}", text):
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected a positive whole number")
    return int(text)


def _hparam(text: str) -> tuple[str, int]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected NAME=N")
    return name, _positive(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0 done, 2 something the user can mend."""
    arguments = build_parser().parse_args(argv)
    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax warns of metadata that nobody needs
    try:
        _convert(arguments)
    except (EvcError, OSError) as error:
        print(f"convert_checkpoint.py: {str(error).rstrip('.')}.", file=sys.stderr)
        return FAILED
    return 0


def _convert(arguments: argparse.Namespace) -> None:
    from evc_jax.torch_import.converted_workdir import check_replaceable, write_workdir
    from evc_jax.torch_import.original_kinds import Unseen
    from evc_jax.torch_import.originals import convert

    check_replaceable(arguments.output)
    emotions = tuple(arguments.emotions.split(",")) if arguments.emotions else None
    unseen = Unseen(dict(arguments.hparam), arguments.hop, arguments.audio, emotions, arguments.code)
    converted = convert(arguments.file, unseen)
    write_workdir(converted, arguments.output)
    print(f"{arguments.file.name}: {converted.title}, {converted.weights:,} weights, step {converted.step}")
    print(f"  sizes: {_differences(converted.config)}")
    print(f"  audio: {_differences(converted.audio)}")
    for key, value in converted.options.items():
        print(f"  {key}: {value if isinstance(value, str) else ', '.join(value)}")
    print(f"  not used: {_by_kind(converted.ignored) or 'nothing'}")
    option = converted.system.replace("_", "-")
    taker = f"; `evc bundle --{option} {arguments.output}` takes it" if converted.system in NETWORKS else ""
    print(f"{arguments.output}: {converted.system}{taker}")


def _differences(config: Any) -> str:
    """How a configuration differs from the reference's."""
    reference = _flat(to_mapping(type(config)()))
    changed = {key: value for key, value in _flat(to_mapping(config)).items() if reference.get(key) != value}
    texts = (f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in changed.items())
    return ", ".join(texts) or "the reference's"


def _flat(mapping: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves = {}
    for key, value in mapping.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves


def _by_kind(names: tuple[str, ...]) -> str:
    """Names, those with the same last part counted: "iteration, 5 x running_mean"."""
    counts = collections.Counter(name.rpartition(".")[2] for name in names)
    return ", ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in counts.items())
