"""`evc convert` and `evc transfer`: running them, and their examples. Imports nothing slow before they run."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from evc_jax.cli import pipes
from evc_jax.cli.argument_types import FAILED, print_error
from evc_jax.conversion import voice_store
from evc_jax.conversion.aspects import TransferAspects
from evc_jax.conversion.options import EMOTION_WAYS, OPTIONS, options_from
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


def run(arguments: argparse.Namespace, load: Callable[[Bundle], Any]) -> int:
    """Runs `evc convert`; `load` makes the converter of a bundle."""
    from evc_jax.cli import batch

    _check_place(arguments)
    saved = _saved_settings(arguments) if arguments.settings else {}
    bundle_folder = arguments.bundle or (str(saved["bundle"]) if saved.get("bundle") else None)
    options = options_from(requested(arguments, saved))
    with pipes.received(arguments.inputs) as inputs, pipes.sent(arguments.output) as output:
        lending = [str(name) for name in (*options.voices, options.emotion_from) if isinstance(name, str)]
        planned = batch.plan_outputs(inputs, output, lending, functools.partial(print_error, "convert"))
        bundle = load_bundle(bundle_folder)
        options.check(bundle)
        converter = load(bundle)
        # A reference that cannot be used is one error, not one per input.
        converter.voices.resolve(options.voice, options.seed)
        options = converter.resolve(options)
        settings = settings_of(options, bundle_folder)
        draw = _drawing(bundle.emotions_of(options.emotion_network(bundle))) if arguments.plot else None
        outcomes = batch.run(planned, converter, options, draw, sys.stderr.isatty(), metadata_text(settings))
        if arguments.save_settings:
            outcomes = _with_settings(outcomes, settings)
        return _report(outcomes, len(planned), sys.stderr if arguments.output == pipes.PIPE else sys.stdout)


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


def _check_place(arguments: argparse.Namespace) -> None:
    if (arguments.save_settings or arguments.plot) and arguments.output == pipes.PIPE:
        what = "Settings" if arguments.save_settings else "Pictures"
        raise ConfigError(f"{what} are written beside the output, and standard output has no place; give another -o.")


def _saved_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `--settings` names; raises ConfigError for settings of a transfer, or of a bundle that is not here."""
    name, saved = printable(arguments.settings), read_settings(arguments.settings)
    if "aspects" in saved:
        raise ConfigError(f"The settings {name} are those of a transfer; give a file that `evc convert` wrote.")
    if saved.get("bundle") and not arguments.bundle and not Path(str(saved["bundle"])).is_dir():
        raise ConfigError(f"The settings {name} name the bundle {saved['bundle']}, which is not here; give --bundle.")
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


def _report(outcomes, total: int, listing) -> int:
    from tqdm import tqdm

    failed = 0
    bar = tqdm(outcomes, total=total, unit="recording", leave=False, disable=total < 2 or not sys.stderr.isatty())
    for outcome in bar:
        if outcome.error is None:
            line = f"{outcome.job.output}: {outcome.duration_s:.1f} s of sound in {outcome.seconds:.1f} s"
            bar.write(printable(line), file=listing)
        else:
            failed += 1
            bar.write(f"evc convert: {printable(outcome.error)}", file=sys.stderr)
    if failed and total > 1:
        print_error("convert", f"{failed} of {total} recordings could not be converted.")
    return FAILED if failed else 0


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
    sent = pipes.sent(arguments.output)
    with pipes.received([arguments.source, arguments.target]) as inputs, sent as destination:
        output = batch.plan_single(destination, inputs)
        converter = load(load_bundle(arguments.bundle))
        converter.check_transfer(aspects, options)
        source, target = (batch.extract_features(Path(path), converter) for path in inputs)
        result = converter.transfer_features(source, target, aspects, options)
        settings = settings_of(options, arguments.bundle, aspects=str(aspects))
        audio_io.save(output, result.audio, converter.sample_rate_hz, metadata_text(settings))
        if arguments.save_settings:
            write_settings(settings, output.with_suffix(SUFFIX))
        if arguments.plot:
            from evc_jax.conversion.picture import draw_transfer

            draw_transfer(output.with_suffix(".png"), result)
        line = f"{arguments.output}: {len(result.audio) / converter.sample_rate_hz:.1f} s of sound"
        print(line, file=sys.stderr if arguments.output == pipes.PIPE else sys.stdout)
    return 0
