"""`evc bundle`: its arguments, and running it. Imports nothing slow before it runs."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from evc_jax.cli.argument_types import OneLineParser, say
from evc_jax.errors import ConfigError
from evc_jax.extras import require_extra
from evc_jax.pretrained.bundle import STORAGE_DTYPES, load_bundle
from evc_jax.pretrained.description import NETWORKS, RENDERINGS

FORMATS = ("safetensors", "stablehlo")

EPILOG = """\
example:
  evc bundle --speechsplit runs/ss --codegan runs/cg --voicegan runs/vg --waveglow runs/wg \\
      --data datasets --datasets ravdess,emodb -o my_bundle

With --datasets both vocoders resynthesize recordings of the test split, and the one whose mel-spectrogram comes closer
becomes the bundle's default. The bundle gets the names and mean embeddings of its training speakers, for the map of
voices in the studio, in speakers.npz; nothing else needs that file, which may be removed.

  evc bundle --base my_bundle --prosody runs/prosody --rendering source -o my_other_bundle

where files travel in pieces:
  evc bundle split my_bundle --max-megabytes 15 -o pieces
  evc bundle join pieces -o my_bundle

for other programs, and before it is published:
  evc bundle export my_bundle --format safetensors -o my_tensors
  evc bundle import my_tensors -o my_bundle
  evc bundle checksums my_bundle"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    for name in NETWORKS:
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, metavar="WORKDIR", help=f"{name}'s training")
    parser.add_argument("--base", metavar="BUNDLE", help="a bundle that gives the networks that are not named")
    parser.add_argument("-o", "--output", help="the bundle's directory; a bundle there is replaced")
    title = "other than that"
    actions = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=OneLineParser, title=title)
    split = _add(actions, "split", "write a bundle as files of limited size")
    split.add_argument("parts", nargs=1, metavar="BUNDLE", help="its directory")
    split.add_argument("--max-megabytes", type=float, default=15.0, help="millions of bytes a file; default: 15")
    split.add_argument("-o", "--output", metavar="FOLDER", required=True, help="for the files")
    join = _add(actions, "join", "make the bundle of which files are the pieces")
    join.add_argument("parts", nargs="+", metavar="PIECE", help="all the files of one bundle, or the folder with them")
    join.add_argument("-o", "--output", metavar="BUNDLE", required=True, help="a bundle there is replaced")
    export = _add(actions, "export", "write a bundle for other programs")
    export.add_argument("parts", nargs=1, metavar="BUNDLE", help="its directory")
    export.add_argument("--format", choices=FORMATS, required=True, help="parameters, or programs with parameters")
    export.add_argument("-o", "--output", metavar="FOLDER", required=True, help="what was exported there is replaced")
    imported = _add(actions, "import", "make the bundle of exported safetensors")
    imported.add_argument("parts", nargs=1, metavar="FOLDER", help="what `export --format safetensors` wrote")
    imported.add_argument("-o", "--output", metavar="BUNDLE", required=True, help="a bundle there is replaced")
    checksums = _add(actions, "checksums", "write the checksums of a bundle's files, after a change by hand")
    checksums.add_argument("parts", nargs=1, metavar="BUNDLE", help="its directory")
    which = "of every training: best (by its best_metric), last or a step; default: last"
    parser.add_argument("--checkpoint", default="last", metavar="WHICH", help=which)
    parser.add_argument("--data", default="datasets", metavar="DIR", help="folder of the datasets; default: datasets")
    parser.add_argument("--datasets", help="names, joined by commas, whose test split chooses the default vocoder")
    parser.add_argument(
        "--rendering", choices=RENDERINGS, help="how the bundle renders by default; default: as the base, else decoder"
    )
    parser.add_argument("--licence", help="of the bundle; default: named after the data's licences")
    parser.add_argument(
        "--storage", choices=STORAGE_DTYPES, default="float32", help="float16 halves the size; default: float32"
    )


def _add(actions, name: str, summary: str) -> argparse.ArgumentParser:
    return actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")


def run(arguments: argparse.Namespace) -> int:
    """Runs the command."""
    if arguments.action:
        return _run_action(arguments)
    if not ((arguments.speechsplit or arguments.base) and arguments.output):
        raise ConfigError("A bundle needs a SpeechSplit and a place; give --speechsplit WORKDIR or --base, and -o DIR.")
    require_extra("train", "Making a bundle")
    from evc_jax.training import export

    logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax warns of unused metadata
    workdirs = {name: getattr(arguments, name) for name in NETWORKS if getattr(arguments, name)}
    datasets = tuple(name for name in (arguments.datasets or "").split(",") if name)
    replaced = Path(arguments.output).exists()
    description = export.export_bundle(
        workdirs,
        arguments.output,
        checkpoint=arguments.checkpoint,
        data_dir=arguments.data,
        datasets=datasets,
        licence=arguments.licence,
        storage_dtype=arguments.storage,
        rendering=arguments.rendering,
        base=arguments.base,
    )
    defaults = f"{description['default_rendering']}, {description['default_vocoder']}"
    there = ", in place of what was there" if replaced else ""
    networks = ", ".join(description["networks"])
    say(arguments, f"{arguments.output}{there}: {networks}; default rendering and vocoder {defaults}")
    for key, value in description["evaluation"].items():
        say(arguments, f"  {key}: {value}")
    if load_bundle(arguments.output).speakers is None:
        say(arguments, f"  no map of the training speakers: their datasets are not in {arguments.data}")
    return 0


def _run_action(arguments: argparse.Namespace) -> int:
    first, output = arguments.parts[0], getattr(arguments, "output", "")
    if arguments.action in ("split", "join"):
        from evc_jax.pretrained import pieces

        if arguments.action == "join":
            written = [pieces.join_bundle(arguments.parts, output)]
        else:
            written = pieces.split_bundle(first, output, arguments.max_megabytes)
    elif arguments.action == "checksums":
        from evc_jax.pretrained.checksums import write_checksums

        written = [write_checksums(load_bundle(first).path)]
    elif getattr(arguments, "format", None) == "stablehlo":
        from evc_jax.pretrained.stablehlo import export_stablehlo

        written = [export_stablehlo(first, output)]
    else:
        from evc_jax.pretrained import exchange

        logging.getLogger("absl").setLevel(logging.ERROR)
        run = exchange.import_safetensors if arguments.action == "import" else exchange.export_safetensors
        written = [run(first, output)]
    for path in written:
        say(arguments, path)
    return 0
