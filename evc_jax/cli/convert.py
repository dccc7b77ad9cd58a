"""`evc convert` and `evc transfer`: running them, and their examples. Imports nothing slow before they run."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from evc_jax.audio.formats import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, OUTPUT_SUFFIXES, check_output
from evc_jax.cli import pipes
from evc_jax.cli.argument_types import FAILED, number, print_error, say, watched
from evc_jax.conversion import voice_store
from evc_jax.conversion.aspects import TransferAspects
from evc_jax.conversion.options import EMOTION_WAYS, OPTIONS, ConversionOptions, options_from
from evc_jax.conversion.requested_voice import EMBEDDING_VOICE, ORIGINAL_VOICE
from evc_jax.conversion.settings import ORIGIN, SUFFIX, metadata_text, read_settings, settings_of, write_settings
from evc_jax.errors import ConfigError
from evc_jax.files import printable
from evc_jax.pretrained.bundle import Bundle, load_bundle

if TYPE_CHECKING:
    from evc_jax.cli import batch

CONVERT_EPILOG = """\
examples:
  evc convert hello.wav -o same.wav                          the source, rebuilt; with --rendering source itself
  evc convert hello.wav --rendering source --pitch-shift 3 -o higher.wav
  evc convert hello.wav --emotion angry -o angry.wav
  evc convert hello.wav --emotion sad --strength 0.5 --plot -o out.wav
  evc convert hello.wav --emotion happy=0.6,surprised=0.4 -o mixed.wav
  evc convert hello.wav --emotion-from acted.wav -o as_there.wav     the emotion of another recording
  evc convert hello.wav --emotion-track emotions.csv -o out.wav      columns start_s, end_s, emotion, strength
  evc convert hello.wav --emotion angry --strength 0:0,1.5:1 -o growing.wav
  evc convert hello.wav --settings out.wav -o again.wav      as out.wav was converted
  evc convert hello.mp3 --voice reference.wav -o cloned.wav  another person's voice
  evc convert hello.wav --voice a1.wav --voice a2.wav -o out.wav     their mean; or a folder: --voice recordings/
  evc convert hello.wav --voice anna --timbre 0.5 -o out.wav         half way to a voice of `evc voices`
  evc convert a.wav b.flac folder/ --voice sampled:female --seed 3 -o converted
  evc convert folder/ --emotion happy --format mp3 --output-rate 44100 -o converted

The options are independent of each other, and one at its neutral value changes nothing.
F0 is found from 62 to about 600 Hz; higher voices count as unvoiced.
A recording that cannot be converted is named and the others go on; the exit code is then 2."""

TRANSFER_EPILOG = """\
examples, for two recordings of the same sentence:
  evc transfer plain.wav acted.wav --aspects F -o out.wav      plain.wav with the melody of acted.wav
  evc transfer plain.wav acted.wav --aspects RF -o out.wav     with its rhythm, too; as long as acted.wav
  evc transfer mine.wav yours.wav --aspects U -o out.wav       my sentence in your voice
  evc transfer mine.wav yours.wav --aspects RFU --plot -o out.wav

What is not named comes from SOURCE. How high a voice lies on the whole belongs to the voice, not to the melody."""


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """How the sound is written, for commands that write it."""
    text = "samples a second of the output; default: the bundle's, 16000 for the embedded one"
    rate = number(int, LOWEST_RATE_HZ, HIGHEST_RATE_HZ)
    parser.add_argument("--output-rate", metavar="HZ", type=rate, dest="output_rate_hz", help=text)
    formats = [suffix.removeprefix(".") for suffix in OUTPUT_SUFFIXES]
    text = "where -o is a folder or standard output; a file's name says its format; default: wav"
    parser.add_argument("--format", choices=formats, help=text)


def run(arguments: argparse.Namespace, load: Callable[[Bundle], Any]) -> int:
    """Runs `evc convert`; `load` makes the converter of a bundle."""
    from evc_jax.cli import batch

    _check_place(arguments)
    saved = _saved_settings(arguments) if arguments.settings else {}
    bundle_folder = arguments.bundle or (str(saved["bundle"]) if saved.get("bundle") else None)
    asked = requested(arguments, saved)
    options = options_from(asked)
    for sentence in _without_effect(options, asked):
        print_error("convert", sentence)
    suffix = f".{arguments.format or 'wav'}"
    with pipes.received(arguments.inputs) as inputs, pipes.sent(arguments.output, suffix) as output:
        lending = [str(name) for name in (*options.voices, options.emotion_from) if isinstance(name, str)]
        planned = batch.plan_outputs(inputs, output, lending, functools.partial(print_error, "convert"), suffix)
        _check_sound(arguments, planned[0].output)
        bundle = load_bundle(bundle_folder, watched(arguments))
        options.check(bundle)
        converter = load(bundle)
        # A reference that cannot be used is one error, not one per input.
        converter.voices.resolve(options.voice, options.seed)
        options = converter.resolve(options)
        settings = settings_of(options, bundle_folder)
        draw = _drawing(bundle.emotions_of(options.emotion_network(bundle))) if arguments.plot else None
        outcomes = batch.run(
            planned, converter, options, draw, watched(arguments), metadata_text(settings), arguments.output_rate_hz
        )
        if arguments.save_settings:
            outcomes = _with_settings(outcomes, settings)
        return _report(outcomes, len(planned), arguments, converter.sample_rate_hz)


def requested(arguments: argparse.Namespace, saved: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """What a conversion is asked for: of its settings file, and of the command line, which wins."""
    given = given_options(arguments)
    options = {name: value for name, value in saved.items() if name not in ORIGIN}
    if any(name in given for name in EMOTION_WAYS):  # instead of the one that was saved
        options = {name: value for name, value in options.items() if name not in EMOTION_WAYS}
    asked = arguments.voice or options.get("voice", ORIGINAL_VOICE)
    asked = asked if isinstance(asked, list) and asked else [asked]
    voices = [
        voice if str(voice).startswith(EMBEDDING_VOICE) else voice_store.locate(str(voice), arguments.voices_dir)
        for voice in asked
    ]
    return {**options, "voice": voices if len(voices) > 1 else voices[0], **given}


def _without_effect(options: ConversionOptions, asked: Collection[str]) -> Iterator[str]:
    """A sentence for each option that is asked for, and only acts together with another one."""
    needed = {}
    if options.track is None and options.emotion_from is None:
        needed = {"strength": "an emotion", "keep_timing": "an emotion"}
    if options.emotion_track is None:
        needed["emotion_fade"] = "an emotion track"
    for name, other in needed.items():
        if name in asked:
            yield f"--{name.replace('_', '-')} is given without {other}, and changes nothing."


def _check_place(arguments: argparse.Namespace) -> None:
    if (arguments.save_settings or arguments.plot) and arguments.output == pipes.PIPE:
        what = "Settings" if arguments.save_settings else "Pictures"
        raise ConfigError(f"{what} are written beside the output, and standard output has no place; give another -o.")


def _check_sound(arguments: argparse.Namespace, output: Path) -> None:
    """Raises EvcError unless an output can have the format and the sample rate that are asked for."""
    if arguments.format and output.suffix.lower() != f".{arguments.format}":
        raise ConfigError(f"{output} and --format {arguments.format} contradict each other; give one of them.")
    check_output(output, arguments.output_rate_hz)


def _saved_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `--settings` names; raises ConfigError for settings of a transfer, or of a bundle that is not here."""
    name, saved = printable(arguments.settings), read_settings(arguments.settings)
    if "aspects" in saved:
        raise ConfigError(f"The settings {name} are those of a transfer; give a file that `evc convert` wrote.")
    bundle = printable(str(saved.get("bundle") or ""))
    if "://" in bundle and not arguments.bundle:  # who made the recording shall not choose what this machine fetches
        reason = f"which is fetched only where you name it; give --bundle {bundle}"
        raise ConfigError(f"The settings {name} name the bundle {bundle}, {reason}.")
    if bundle and not arguments.bundle and not Path(bundle.partition("#sha256=")[0]).exists():
        raise ConfigError(f"The settings {name} name the bundle {bundle}, which is not here; give --bundle.")
    return saved


def _with_settings(outcomes: Iterable[batch.Result], settings: dict[str, Any]) -> Iterator[batch.Result]:
    """The outcomes, with settings beside the output of each that succeeded."""
    for outcome in outcomes:
        if outcome.error is None:
            write_settings(settings, outcome.job.output.with_suffix(SUFFIX))
        yield outcome


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The conversion options of the command line, without those that were not given."""
    return {option.name: getattr(arguments, option.name) for option in OPTIONS if hasattr(arguments, option.name)}


def _report(outcomes: Iterable[batch.Result], total: int, arguments: argparse.Namespace, rate_hz: int) -> int:
    from tqdm import tqdm

    failed = 0
    bar = tqdm(outcomes, total=total, unit="recording", leave=False, disable=total < 2 or not watched(arguments))
    for outcome in bar:
        if outcome.error is None and not arguments.quiet:
            sound = _sound(outcome.duration_s, arguments.output_rate_hz or rate_hz, outcome.replaced)
            name = arguments.output if arguments.output == pipes.PIPE else outcome.job.output
            bar.write(printable(f"{name}: {sound}, in {outcome.seconds:.1f} s"), file=pipes.listing(arguments.output))
        elif outcome.error is not None:
            failed += 1
            bar.write(f"evc convert: {printable(outcome.error)}", file=sys.stderr)
    if failed and total > 1:
        print_error("convert", f"{failed} of {total} recordings could not be converted.")
    return FAILED if failed else 0


def _sound(duration_s: float, rate_hz: int, replaced: bool) -> str:
    """What an output is, in words."""
    return f"{duration_s:.1f} s of sound at {rate_hz} Hz{', in place of what was there' if replaced else ''}"


def _drawing(emotions: Sequence[str]) -> Callable[[Any, Any], None]:
    from evc_jax.conversion.picture import draw_conversion

    return lambda job, result: draw_conversion(job.output.with_suffix(".png"), result, emotions)


def run_transfer(arguments: argparse.Namespace, load: Callable[[Bundle], Any]) -> int:
    """Runs `evc transfer`."""
    from evc_jax.audio import io as audio_io
    from evc_jax.cli import batch

    _check_place(arguments)
    aspects = TransferAspects.parse(arguments.aspects)
    options = options_from(given_options(arguments), synthesis_only=True)
    sent = pipes.sent(arguments.output, f".{arguments.format or 'wav'}")
    with pipes.received([arguments.source, arguments.target]) as inputs, sent as destination:
        output = batch.plan_single(destination, inputs)
        _check_sound(arguments, output)
        replaced = output.exists()
        converter = load(load_bundle(arguments.bundle, watched(arguments)))
        converter.check_transfer(aspects, options)
        source, target = (batch.extract_features(Path(path), converter) for path in inputs)
        result = converter.transfer_features(source, target, aspects, options)
        settings = settings_of(options, arguments.bundle, aspects=str(aspects))
        rate_hz = converter.sample_rate_hz
        audio_io.save(output, result.audio, rate_hz, metadata_text(settings), arguments.output_rate_hz)
        if arguments.save_settings:
            write_settings(settings, output.with_suffix(SUFFIX))
        if arguments.plot:
            from evc_jax.conversion.picture import draw_transfer

            draw_transfer(output.with_suffix(".png"), result)
        sound = _sound(len(result.audio) / rate_hz, arguments.output_rate_hz or rate_hz, replaced)
        say(arguments, f"{arguments.output}: {sound}", pipes.listing(arguments.output))
    return 0
