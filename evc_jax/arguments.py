"""The arguments of the `evc` command, and the texts that teach it. Imports nothing slow."""

from __future__ import annotations

import argparse
from typing import NoReturn

from evc_jax import __version__
from evc_jax.bundle import NETWORKS, STORAGE_DTYPES, embedded_path, load_bundle
from evc_jax.errors import EvcError
from evc_jax.wishes import DEFAULT_SIGMA, MAX_SIGMA, MAX_STRENGTH, SEXES, VOCODERS

FAILED = 2
MAX_SEED = 2**32 - 1

_EPILOG = """\
from a recording to another one:
  evc convert hello.wav --emotion angry -o angry.wav
  evc convert hello.wav --emotion sad --strength 0.5 --voice sampled:female -o out.wav
  evc voices -n 8 --sex male -o voices
  evc convert recordings/ --voice voices/male-0-3.npy -o converted

from a corpus to a bundle of your own:
  evc prepare ravdess RAVDESS_FOLDER -o datasets
  python scripts/train.py --config=configs/speechsplit.py:small --workdir=runs/ss
  evc bundle --speechsplit runs/ss --codegan runs/cg --voicegan runs/vg -o my_bundle
  evc convert hello.wav --bundle my_bundle --emotion happy -o happy.wav

`evc COMMAND --help` explains each command."""

_CONVERT_EPILOG = """\
examples:
  evc convert hello.wav -o same.wav                          the source, rebuilt
  evc convert hello.wav --emotion angry -o angry.wav
  evc convert hello.wav --emotion sad --strength 0.5 --plot -o out.wav
  evc convert hello.mp3 --voice reference.wav -o cloned.wav  another person's voice
  evc convert a.wav b.flac folder/ --voice sampled:female --seed 3 -o converted

A recording that cannot be converted is named and the others go on; the exit code is then 2."""

_VOICES_EPILOG = """\
example:
  evc voices -n 8 --sex female --seed 1 -o voices
  evc convert hello.wav --voice voices/female-1-0.npy -o out.wav

The same seed and sex give the same voices."""

_PREPARE_EPILOG = """\
examples:
  evc prepare ravdess RAVDESS_FOLDER                 reads the corpus as it is distributed
  evc prepare folder MY_SPEECH --name mine           MY_SPEECH/SPEAKER/EMOTION/*.wav
  evc prepare manifest speech.csv --name mine        columns: path, speaker, sex, emotion, text"""

_BUNDLE_EPILOG = """\
example:
  evc bundle --speechsplit runs/ss --codegan runs/cg --voicegan runs/vg --waveglow runs/wg \\
      --data datasets --datasets ravdess,emodb -o my_bundle

With --datasets both vocoders resynthesise recordings of the test split, and the one whose mel-spectrogram comes closer
becomes the bundle's default."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"{self.prog}: {message.rstrip('.')}; see `{self.prog} --help`.\n")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog="evc",
        description="Emotional voice cloning: the same sentence with another emotion and another voice.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"evc_jax {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_convert(commands)
    _add_voices(commands)
    _add_prepare(commands)
    _add_bundle(commands)
    return parser


def _add(commands, name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _add_convert(commands) -> None:
    parser = _add(commands, "convert", "convert recordings", _CONVERT_EPILOG)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="recordings (WAV, FLAC, MP3, OGG, ...) and folders")
    parser.add_argument(
        "-o", "--output", required=True, help="a .wav or .flac file for one recording, else a folder for all"
    )
    parser.add_argument("--emotion", help=f"one of the bundle's emotions{_embedded_emotions()}; default: as it is")
    parser.add_argument(
        "--strength",
        type=_number(0.0, MAX_STRENGTH),
        default=1.0,
        help=f"0 keeps the source's prosody, 1 is the emotion, up to {MAX_STRENGTH:g} exaggerates; default: 1",
    )
    parser.add_argument(
        "--voice",
        default="original",
        help="original, sampled:female, sampled:male, a reference recording, or a file of `evc voices`; "
        "default: original",
    )
    parser.add_argument("--seed", type=_integer(0, MAX_SEED), default=0, help="of everything random; default: 0")
    parser.add_argument("--vocoder", choices=VOCODERS, help="default: the bundle's better one")
    parser.add_argument(
        "--sigma",
        type=_number(0.0, MAX_SIGMA),
        default=DEFAULT_SIGMA,
        help=f"WaveGlow's noise; default: {DEFAULT_SIGMA}",
    )
    parser.add_argument("--plot", action="store_true", help="draw source and output beside each output (.png)")
    _add_bundle_option(parser)


def _add_voices(commands) -> None:
    parser = _add(commands, "voices", "write new voices, sampled from VoiceGAN", _VOICES_EPILOG)
    parser.add_argument("-n", "--number", type=_integer(1, 10_000), default=1, help="how many; default: 1")
    parser.add_argument("--sex", choices=SEXES, required=True, help="the voices' sex")
    parser.add_argument("--seed", type=_integer(0, MAX_SEED), default=0, help="another seed, other voices; default: 0")
    parser.add_argument("-o", "--output", default="voices", help="folder for the files; default: voices")
    _add_bundle_option(parser)


def _add_prepare(commands) -> None:
    parser = _add(commands, "prepare", "make a training dataset from a corpus", _PREPARE_EPILOG)
    parser.add_argument("corpus", help="ravdess, emodb, librispeech, ljspeech, folder or manifest")
    parser.add_argument("path", help="where the corpus lies; for manifest the CSV file")
    parser.add_argument("-o", "--output", default="datasets", help="folder that collects datasets; default: datasets")
    parser.add_argument("--name", help="the dataset's name; default: the corpus's")
    parser.add_argument("--embedder", choices=("jax", "resemblyzer"), default="jax", help="default: jax")
    parser.add_argument("--workers", type=_integer(1, 4096), help="processes; default: all cores")


def _add_bundle(commands) -> None:
    parser = _add(commands, "bundle", "gather trained networks into a bundle", _BUNDLE_EPILOG)
    for name in NETWORKS:
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, metavar="WORKDIR", required=name == "speechsplit", help=f"{name}'s training")
    parser.add_argument("-o", "--output", required=True, help="the bundle's directory; a bundle there is replaced")
    parser.add_argument("--data", default="datasets", metavar="DIR", help="folder of the datasets; default: datasets")
    parser.add_argument("--datasets", help="names, joined by commas, whose test split chooses the default vocoder")
    parser.add_argument("--licence", help="of the bundle; default: named after the data's licences")
    parser.add_argument(
        "--storage", choices=STORAGE_DTYPES, default="float32", help="float16 halves the size; default: float32"
    )


def _add_bundle_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", metavar="DIR", help="default: the bundle that comes with the package")


def _embedded_emotions() -> str:
    """The embedded bundle's emotions for the help text, where there is one."""
    try:
        return f" ({', '.join(load_bundle().emotions)})" if embedded_path().is_dir() else ""
    except EvcError:
        return ""


def _number(low: float, high: float):
    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} was given, expected a number from {low:g} to {high:g}")
        return value

    return convert


def _integer(low: int, high: int):
    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} was given, expected a whole number from {low} to {high}")
        return value

    return convert
