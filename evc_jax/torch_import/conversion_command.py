"""`scripts/convert_checkpoint.py`: its arguments, the work directory that it writes, and its report.

`training.checkpoints.load_for_inference` reads the directory, and with it `evc bundle` and whatever trains on it.
"""

from __future__ import annotations

import argparse
import collections
import json
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from flax import traverse_util

from evc_jax.config import to_mapping
from evc_jax.errors import CheckpointError, EvcError
from evc_jax.files import atomic_dir
from evc_jax.pretrained.bundle import write_params
from evc_jax.pretrained.description import CODES, NETWORKS
from evc_jax.torch_import.originals import Converted, HparamOverrides, convert

FAILED = 2
CHECKPOINTS = "checkpoints"
DESCRIPTION = """\
Converts a checkpoint of the original PyTorch systems to Orbax parameters. Needs no PyTorch and runs nothing in it.
Which network FILE holds and its sizes are read off its tensors; the options are for what they do not tell."""
EPILOG = """\
known files:
  660000-G.ckpt, 2800000-G.ckpt     SpeechSplit (the authors', emo-clone's)
  640000-P.ckpt                     its F0 converter
  waveglow_128000                   WaveGlow, with weight norm or without it, whole module or state dict
  waveglow_256channels_universal_v5.pt   NVIDIA's WaveGlow of 22.05 kHz
  200000-G.ckpt                     CodeGAN's and VoiceGAN's generator (their discriminators are of no further use)
  pretrained.pt                     Resemblyzer's voice encoder

examples:
  python scripts/convert_checkpoint.py 660000-G.ckpt -o runs/speechsplit
  python scripts/convert_checkpoint.py G.ckpt --hparam freq=4 --hparam chs_grp=8 -o runs/speechsplit
  python scripts/convert_checkpoint.py 200000-G.ckpt --emotions angry,happy,sad,neutral -o runs/codegan
  evc bundle --speechsplit runs/speechsplit --codegan runs/codegan -o my_bundle

DIR becomes the work directory of a finished training, which `evc bundle` takes and which CodeGAN can be trained on.
It is written whole or not at all, and nothing that exists is replaced."""


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax warns of metadata that is not needed
    try:
        _convert(arguments)
    except (EvcError, OSError) as error:
        print(f"convert_checkpoint.py: {str(error).rstrip('.')}.", file=sys.stderr)
        return FAILED
    return 0


def _convert(arguments: argparse.Namespace) -> None:
    if arguments.output.exists() and not (arguments.output.is_dir() and not any(arguments.output.iterdir())):
        raise CheckpointError(f"{arguments.output} exists; choose another output directory.")
    emotions = tuple(arguments.emotions.split(",")) if arguments.emotions else None
    overrides = HparamOverrides(dict(arguments.hparam), arguments.hop, arguments.audio, emotions, arguments.code)
    converted = convert(arguments.file, overrides)
    _write_workdir(converted, arguments.output)
    weights = sum(leaf.size for leaf in jax.tree.leaves(converted.params))
    print(f"{arguments.file.name}: {converted.title}, {weights:,} weights, step {converted.step}")
    print(f"  sizes: {_differences(converted.config)}")
    print(f"  audio: {_differences(converted.audio)}")
    for key, value in converted.options.items():
        print(f"  {key}: {value if isinstance(value, str) else ', '.join(value)}")
    # Names with the same last part are counted: "iteration, 5 x running_mean".
    kinds = collections.Counter(name.rpartition(".")[2] for name in converted.ignored)
    ignored = ", ".join(f"{count} x {kind}" if count > 1 else kind for kind, count in kinds.items())
    print(f"  not used: {ignored or 'nothing'}")
    option = converted.system.replace("_", "-")
    taker = f"; `evc bundle --{option} {arguments.output}` takes it" if converted.system in NETWORKS else ""
    print(f"{arguments.output}: {converted.system}{taker}")


def _write_workdir(converted: Converted, path: Path) -> None:
    """Writes the directory, complete or not at all."""
    model = to_mapping(converted.config)
    config = {
        "system": converted.system,
        "model": model,
        "options": converted.options,
        "data": {"datasets": []},
        "audio": to_mapping(converted.audio),
        "converted_from": converted.source,
    }
    description = {"config": config, "networks": {converted.system: model}}
    with atomic_dir(path) as folder:
        step = folder / CHECKPOINTS / str(converted.step)
        (step / "description").mkdir(parents=True)
        (step / "description" / "metadata").write_text(json.dumps(description, indent=2) + "\n")
        write_params(step / "exported", {converted.system: converted.params})


def _differences(config: Any) -> str:
    """How a configuration differs from the reference's."""
    reference, own = (traverse_util.flatten_dict(to_mapping(each), sep=".") for each in (type(config)(), config))
    changed = {key: value for key, value in own.items() if reference.get(key) != value}
    texts = (f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in changed.items())
    return ", ".join(texts) or "the reference's"
