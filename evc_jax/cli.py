"""The `evc` command. JAX is imported only once the arguments are known to be right, so that help is instant."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from evc_jax import __version__
from evc_jax.errors import EvcError

if TYPE_CHECKING:
    from evc_jax.bundle import Bundle

FAILED = 2
INTERRUPTED = 130

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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0 all done, 2 something the user can mend, 130 interrupted."""
    arguments = build_parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except EvcError as error:
        print(f"evc {arguments.command}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"evc {arguments.command}: interrupted.", file=sys.stderr)
        return INTERRUPTED


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


def _add(commands, name: str, summary: str, epilog: str, run) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_convert(commands) -> None:
    from evc_jax.wishes import DEFAULT_SIGMA, MAX_SIGMA, MAX_STRENGTH, VOCODERS

    parser = _add(commands, "convert", "convert recordings", _CONVERT_EPILOG, _convert)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="recordings (WAV, FLAC, MP3, OGG, ...) and folders")
    parser.add_argument(
        "-o", "--output", required=True, help="a .wav or .flac file for one recording, else a folder for all"
    )
    parser.add_argument("--emotion", help=f"one of the bundle's emotions{_embedded_emotions()}; default: as it is")
    parser.add_argument(
        "--strength",
        type=_number(0, MAX_STRENGTH),
        default=1.0,
        help=f"0 keeps the source's prosody, 1 is the emotion, up to {MAX_STRENGTH:g} exaggerates; default: 1",
    )
    parser.add_argument(
        "--voice",
        default="original",
        help="original, sampled:female, sampled:male, a reference recording, or a file of `evc voices`; "
        "default: original",
    )
    parser.add_argument("--seed", type=_integer(0, 2**32 - 1), default=0, help="of everything random; default: 0")
    parser.add_argument("--vocoder", choices=VOCODERS, help="default: the bundle's better one")
    parser.add_argument(
        "--sigma", type=_number(0, MAX_SIGMA), default=DEFAULT_SIGMA, help=f"WaveGlow's noise; default: {DEFAULT_SIGMA}"
    )
    parser.add_argument("--plot", action="store_true", help="draw source and output beside each output (.png)")
    _add_bundle_option(parser)


def _add_voices(commands) -> None:
    from evc_jax.wishes import SEXES

    parser = _add(commands, "voices", "write new voices, sampled from VoiceGAN", _VOICES_EPILOG, _voices)
    parser.add_argument("-n", "--number", type=_integer(1, 10_000), default=1, help="how many; default: 1")
    parser.add_argument("--sex", choices=SEXES, required=True, help="the voices' sex")
    parser.add_argument("--seed", type=_integer(0, 2**32 - 1), default=0, help="another seed, other voices; default: 0")
    parser.add_argument("-o", "--output", default="voices", help="folder for the files; default: voices")
    _add_bundle_option(parser)


def _add_prepare(commands) -> None:
    parser = _add(commands, "prepare", "make a training dataset from a corpus", _PREPARE_EPILOG, _prepare)
    parser.add_argument("corpus", help="ravdess, emodb, librispeech, ljspeech, folder or manifest")
    parser.add_argument("path", help="where the corpus lies; for manifest the CSV file")
    parser.add_argument("-o", "--output", default="datasets", help="folder that collects datasets; default: datasets")
    parser.add_argument("--name", help="the dataset's name; default: the corpus's")
    parser.add_argument("--embedder", choices=("jax", "resemblyzer"), default="jax", help="default: jax")
    parser.add_argument("--workers", type=_integer(1, 4096), help="processes; default: all cores")


def _add_bundle(commands) -> None:
    from evc_jax.bundle import NETWORKS, STORAGE_DTYPES

    parser = _add(commands, "bundle", "gather trained networks into a bundle", _BUNDLE_EPILOG, _bundle)
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


def _convert(arguments: argparse.Namespace) -> int:
    from evc_jax import jobs
    from evc_jax.bundle import load_bundle
    from evc_jax.wishes import Wishes

    wishes = Wishes(
        arguments.emotion,
        arguments.strength,
        arguments.voice,
        arguments.seed,
        arguments.vocoder,
        arguments.sigma,
    )
    planned = jobs.plan(arguments.inputs, arguments.output, arguments.voice)
    bundle = load_bundle(arguments.bundle)
    wishes.check(bundle)
    converter = _converter(bundle)
    converter.voices.resolve(wishes.voice, wishes.seed)  # a reference that cannot be used is one error, not one per input
    outcomes = jobs.run(planned, converter, wishes, _draw if arguments.plot else None)
    return _report(outcomes, len(planned))


def _report(outcomes, total: int) -> int:
    from tqdm import tqdm

    failed = 0
    bar = tqdm(outcomes, total=total, unit="recording", leave=False, disable=total < 2 or not sys.stderr.isatty())
    for outcome in bar:
        if outcome.error is None:
            line = f"{outcome.job.output}: {outcome.duration_s:.1f} s of sound in {outcome.seconds:.1f} s"
            bar.write(line, file=sys.stdout)
        else:
            failed += 1
            bar.write(f"evc convert: {outcome.error}", file=sys.stderr)
    if failed and total > 1:
        print(f"evc convert: {failed} of {total} recordings could not be converted.", file=sys.stderr)
    return FAILED if failed else 0


def _draw(job, result) -> None:
    from evc_jax.plotting import draw_conversion

    draw_conversion(job.output.with_suffix(".png"), result, job.output.stem)


def _voices(arguments: argparse.Namespace) -> int:
    from evc_jax.bundle import load_bundle

    bundle = load_bundle(arguments.bundle)
    bundle.require("voicegan")
    voices = _converter(bundle).sample_voices(arguments.number, arguments.sex, arguments.seed)

    from evc_jax.voices import write_voices

    names = [f"{arguments.sex}-{arguments.seed}-{i}" for i in range(len(voices))]
    for file in write_voices(arguments.output, names, voices):
        print(file)
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    from evc_jax.data.builder import prepare

    report = prepare(
        arguments.corpus,
        arguments.path,
        arguments.output,
        dataset_name=arguments.name,
        embedder=arguments.embedder,
        workers=arguments.workers,
        progress=sys.stderr.isatty(),
    )
    print(report)
    return 0


def _bundle(arguments: argparse.Namespace) -> int:
    from evc_jax import assembly
    from evc_jax.bundle import NETWORKS

    workdirs = {name: getattr(arguments, name) for name in NETWORKS if getattr(arguments, name)}
    datasets = tuple(name for name in (arguments.datasets or "").split(",") if name)
    description = assembly.assemble(
        workdirs,
        arguments.output,
        data_dir=arguments.data,
        datasets=datasets,
        licence=arguments.licence,
        storage_dtype=arguments.storage,
    )
    print(f"{arguments.output}: {', '.join(description['networks'])}; default vocoder {description['default_vocoder']}")
    for key, value in description["evaluation"].items():
        print(f"  {key}: {value}")
    return 0


def _converter(bundle: Bundle):
    # Orbax and XLA say things that are of no use to somebody who converts a recording.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from evc_jax.compilation import enable_cache
    from evc_jax.conversion import Converter

    enable_cache()
    return Converter(bundle)


def _embedded_emotions() -> str:
    """The embedded bundle's emotions for the help text, where there is one."""
    from evc_jax.bundle import embedded_path, load_bundle

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


if __name__ == "__main__":
    sys.exit(main())
