"""The arguments of the `evc` command, and its help texts. Imports nothing slow."""

from __future__ import annotations

import argparse
from typing import Any

from evc_jax import __version__
from evc_jax.audio.formats import SUFFIX_WORDS
from evc_jax.cli import adapt, bundles, completion, convert, emotion, evaluate, serve, studio, sweep, train
from evc_jax.cli.argument_types import BUNDLE_HELP, OneLineParser, add_quiet, number
from evc_jax.conversion.options import MAX_SEED, OPTIONS, Option
from evc_jax.conversion.requested_voice import SEXES
from evc_jax.data.corpora import CORPORA
from evc_jax.data.encoding import AUDIO_STORAGES, MEL_STORAGES
from evc_jax.data.prepare.local_runner import BEAM_RUNNERS, LOCAL
from evc_jax.errors import EvcError
from evc_jax.pretrained.bundle import embedded_path, load_bundle

_EPILOG = """\
from a recording to another one:
  evc convert hello.wav --emotion angry -o angry.wav
  evc convert hello.wav --emotion sad --strength 0.5 --voice sampled:female -o out.wav
  evc convert hello.wav --pitch-shift 3 --rate 1.2 -o higher_and_faster.wav
  evc sweep hello.wav -o page
  evc transfer plain.wav acted.wav --aspects RF -o out.wav
  evc voices --name anna --from anna/*.wav
  evc convert recordings/ --voice anna -o converted
  evc studio                                  the same in a web page

from your own recordings to a bundle for your voice:
  evc adapt my_recordings/ --name me -o my_bundle
  evc convert hello.wav --bundle my_bundle --voice me -o out.wav

from a corpus to a bundle of your own:
  evc prepare ravdess RAVDESS_FOLDER -o datasets
  evc train --config=speechsplit:small --workdir=runs/ss
  evc bundle --speechsplit runs/ss --codegan runs/cg --voicegan runs/vg -o my_bundle
  evc convert hello.wav --bundle my_bundle --emotion happy -o happy.wav
  evc evaluate my_bundle --data datasets --datasets ravdess,emodb

`evc COMMAND --help` explains each command."""

_VOICES_EPILOG = """\
examples:
  evc voices --name anna --from a.wav b.wav folder/   the mean voice of recordings of one speaker
  evc convert hello.wav --voice anna -o out.wav
  evc voices -n 8 --sex female --seed 1               voices of no real person: female-1-0 to female-1-7
  evc voices --list

Voices are files NAME.npy in $EVC_VOICES_DIR, else in evc_jax/voices of the user's data folder ($XDG_DATA_HOME, usually
~/.local/share), else where -o says. The same seed and sex give the same voices."""

_SIMILARITY_EPILOG = """\
examples:
  evc similarity a.wav b.wav
  evc similarity cloned.wav anna --json

Each is a recording, a folder of recordings of one speaker, or a voice of `evc voices`."""

_PREPARE_EPILOG = """\
examples:
  evc prepare ravdess RAVDESS_FOLDER                 reads the corpus as it is distributed
  evc prepare common_voice cv-corpus-17.0/en         one language of a release
  evc prepare ravdess RAVDESS_FOLDER --max-seconds 2400 --name part
  evc prepare folder MY_SPEECH --name mine           MY_SPEECH/SPEAKER/EMOTION/*.wav
  evc prepare manifest speech.csv --name mine        columns: path, speaker, sex, emotion, text
  evc prepare folder MY_SPEECH --name mine --validation-share 0.2 --test-share 0
  evc prepare folder MY_SPEECH --name mine --splits splits.csv      columns: speaker (or path), split

Speakers are held out for validation and test; of fewer than five some utterances each. What a training on the dataset
alone would refuse is said at the end; trainings take several datasets: --config.data.datasets=mine,ravdess."""

# The commands whose output is files, and what they print a report.
_WORKING = ("convert", "sweep", "transfer", "voices", "prepare", "bundle", "evaluate", "adapt")


def build_parser() -> OneLineParser:
    """The whole command line."""
    parser = OneLineParser(
        prog="evc",
        description="Emotional voice cloning: the same sentence with another emotion and another voice.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"evc_jax {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=OneLineParser)
    _add_convert(commands)
    _add_sweep(commands)
    _add_transfer(commands)
    _add_voices(commands)
    _add_similarity(commands)
    _add_emotion(commands)
    _add_prepare(commands)
    train.add_arguments(_add(commands, "train", "train a network", train.EPILOG))
    bundles.add_arguments(_add(commands, "bundle", "gather trained networks into a bundle", bundles.EPILOG))
    _add_evaluate(commands)
    adapt.add_arguments(_add(commands, "adapt", "make a bundle better for one person's voice", adapt.EPILOG))
    serve.add_arguments(_add(commands, "serve", "answer conversions over HTTP", serve.EPILOG))
    studio.add_arguments(_add(commands, "studio", "convert recordings in a web page", studio.EPILOG))
    completion.add_arguments(_add(commands, "completion", "print a shell's completion script", completion.EPILOG))
    return parser


def _add(commands, name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        allow_abbrev=name != "train",  # whose --config.KEY are no options of the parser
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if name in _WORKING:
        add_quiet(parser)
    return parser


def _add_shared(parser: argparse.ArgumentParser, *names: str) -> None:
    """Options that several commands have."""
    shared: dict[str, dict[str, Any]] = {
        "--voice": {
            "action": "append",
            "help": "original, sampled:female, sampled:male, a reference recording, a folder of them, or a voice of "
            "`evc voices` or `evc adapt`; several times for the mean of several; default: original",
        },
        "--plot": {"action": "store_true", "help": "draw recordings and output beside the output (.png)"},
        "--save-settings": {
            "action": "store_true",
            "help": "write the options beside each output (.settings.json); they are in its metadata, too",
        },
        "--voices-dir": {"metavar": "DIR", "help": "where names of voices are looked up; see `evc voices`"},
        "--bundle": {"metavar": "BUNDLE", "help": BUNDLE_HELP},
    }
    for name in names:
        parser.add_argument(name, **shared[name])


def _add_convert(commands) -> None:
    parser = _add(commands, "convert", "convert recordings", convert.CONVERT_EPILOG)
    inputs = "recordings (WAV, FLAC, MP3, M4A, WebM, ...) and folders; - is standard input"
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=inputs)
    output = f"a {SUFFIX_WORDS} file for one recording, - for standard output, else a folder for all"
    parser.add_argument("-o", "--output", required=True, help=output)
    convert.add_output_arguments(parser)
    for option in OPTIONS:
        _add_option(parser, option)
    replay = "take the options from a file of --save-settings, or from a file that was converted with them"
    parser.add_argument("--settings", metavar="FILE", help=f"{replay}; what else is given wins")
    _add_shared(parser, "--voice", "--save-settings", "--plot", "--voices-dir", "--bundle")


def _add_sweep(commands) -> None:
    parser = _add(commands, "sweep", "convert a recording to many emotions and strengths, as a page", sweep.EPILOG)
    sweep.add_arguments(parser)
    for option in OPTIONS:
        if option.name not in sweep.LEFT_OUT:
            _add_option(parser, option)
    _add_shared(parser, "--voice", "--voices-dir", "--bundle")


def _add_transfer(commands) -> None:
    summary = "take rhythm, pitch or timbre from another recording of the same sentence"
    parser = _add(commands, "transfer", summary, convert.TRANSFER_EPILOG)
    parser.add_argument("source", metavar="SOURCE.wav", help="recording that is changed")
    parser.add_argument("target", metavar="TARGET.wav", help="recording that the aspects are taken from")
    parser.add_argument(
        "--aspects", default="RFU", metavar="RFU", help="letters of R (rhythm), F (pitch), U (timbre); default: RFU"
    )
    parser.add_argument("-o", "--output", required=True, help=f"a {SUFFIX_WORDS} file; - is standard output")
    convert.add_output_arguments(parser)
    for option in OPTIONS:
        if option.synthesis:
            _add_option(parser, option)
    _add_shared(parser, "--save-settings", "--plot", "--bundle")


def _add_option(parser: argparse.ArgumentParser, option: Option) -> None:
    """One of the options that `conversion.options` defines; only what is given shows in the parsed arguments."""
    flags = [f"--{name.replace('_', '-')}" for name in (option.name, *option.aliases)]
    settings: dict[str, Any] = {"dest": option.name, "default": argparse.SUPPRESS, "help": option.help}
    if option.kind is str:
        settings |= {"choices": option.choices or None, **({"metavar": "FILE"} if option.is_file else {})}
        if option.name == "emotion":
            settings["help"] = option.help.replace("emotions,", f"emotions{_embedded_emotions()},", 1)
    elif option.is_curve:
        settings |= {"type": _number_or_curve, "metavar": "N"}
        settings["help"] += f"; {option.range_text}, default: {option.default:g}"
    else:
        settings |= {"type": number(option.kind, option.low, option.high), "metavar": "N"}
        settings["help"] += f"; {option.range_text}, default: {option.default:g}"
        if option.bare is not None:
            settings |= {"nargs": "?", "const": option.bare}
    parser.add_argument(*flags, **settings)


def _add_voices(commands) -> None:
    parser = _add(commands, "voices", "write voices, from recordings or sampled from VoiceGAN", _VOICES_EPILOG)
    parser.add_argument("--name", help="the voice's name; sampled voices have SEX-SEED-NUMBER without one")
    parser.add_argument(
        "--from", dest="recordings", nargs="+", metavar="RECORDING", help="recordings and folders of one speaker"
    )
    parser.add_argument("--sex", choices=SEXES, help="sample voices of this sex")
    parser.add_argument("-n", "--number", type=number(int, 1, 10_000), default=1, help="how many; default: 1")
    parser.add_argument(
        "--seed", type=number(int, 0, MAX_SEED), default=0, help="another seed, other voices; default: 0"
    )
    parser.add_argument(
        "--list", action="store_true", help="list the voices that --voice finds by name, those of --bundle among them"
    )
    parser.add_argument(
        "-o", "--output", "--voices-dir", dest="voices_dir", metavar="DIR", help="folder; default: where --voice looks"
    )
    _add_shared(parser, "--bundle")


def _add_similarity(commands) -> None:
    parser = _add(commands, "similarity", "compare two voices", _SIMILARITY_EPILOG)
    parser.add_argument("a", metavar="A.wav", help="recording, folder or voice")
    parser.add_argument("b", metavar="B.wav", help="recording, folder or voice")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    _add_shared(parser, "--voices-dir", "--bundle")


def _add_emotion(commands) -> None:
    parser = _add(commands, "emotion", "find the emotions of recordings", emotion.EPILOG)
    emotion.add_arguments(parser)
    _add_shared(parser, "--bundle")


def _add_prepare(commands) -> None:
    parser = _add(commands, "prepare", "make a training dataset from a corpus", _PREPARE_EPILOG)
    parser.add_argument("corpus", help=f"one of {', '.join(CORPORA)}")
    parser.add_argument("path", help="where the corpus lies, also gs://...; for manifest the CSV file")
    parser.add_argument("-o", "--output", default="datasets", help="folder that collects datasets; default: datasets")
    parser.add_argument("--name", help="the dataset's name; default: the corpus's")
    parser.add_argument("--embedder", choices=("jax", "resemblyzer"), default="jax", help="default: jax")
    parser.add_argument(
        "--max-seconds",
        type=number(float, 1, 1e9),
        metavar="N",
        help="at most so much speech, spread evenly over speakers and emotions; reads the headers of about as many "
        "recordings as it takes, and from a bucket these recordings; default: the whole corpus",
    )
    for split in ("validation", "test"):
        share = (
            "share of the speakers, or where they are few of each one's utterances, unless the corpus has this split"
        )
        parser.add_argument(
            f"--{split}-share", type=number(float, 0, 0.9), default=0.1, metavar="S", help=f"{share}; default: 0.1"
        )
    own = "a CSV with the columns path or speaker, and split (train, validation, test), which decides instead"
    parser.add_argument("--splits", metavar="FILE", help=f"{own}; what it does not name trains")
    for field, choices, help_text in (
        ("mel", MEL_STORAGES, "float16 rounds by at most 0.00025 of the mel's range of 1"),
        ("audio", AUDIO_STORAGES, "both are exact, flac is smaller"),
    ):
        text = f"{help_text}; default: {choices[0]}"
        parser.add_argument(f"--{field}-storage", choices=choices, default=choices[0], help=text)
    parser.add_argument("--workers", type=number(int, 1, 4096), help="processes of this machine; default: all cores")
    parser.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, help="draw a bar; default: where a terminal watches"
    )
    parser.add_argument(
        "--runner",
        choices=(LOCAL, *BEAM_RUNNERS),
        default=LOCAL,
        help=f"who does the work: this machine, or a cluster through Apache Beam; default: {LOCAL}",
    )
    parser.add_argument(
        "--beam-options", default="", metavar="OPTIONS", help='for the Beam runner, as in ="--project=P --region=R"'
    )


def _add_evaluate(commands) -> None:
    parser = _add(commands, "evaluate", "measure a bundle beside real speech and rules", evaluate.EPILOG)
    evaluate.add_arguments(parser)
    for option in OPTIONS:
        if option.synthesis or option.name == "rendering":
            _add_option(parser, option)


def _number_or_curve(text: str) -> float | str:
    """A number, or the text of a curve over time."""
    try:
        return text if ":" in text else float(text)
    except ValueError as error:
        message = f"{text!r} was given, expected a number, or TIME:VALUE,TIME:VALUE"
        raise argparse.ArgumentTypeError(message) from error


def _embedded_emotions() -> str:
    """The embedded bundle's emotions for the help text, where there is one."""
    try:
        return f" ({', '.join(load_bundle().emotions)})" if embedded_path().is_dir() else ""
    except EvcError:
        return ""
