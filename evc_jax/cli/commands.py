"""The `evc` command. JAX is imported only once the arguments are known to be right, so that help is instant."""

from __future__ import annotations

import argparse
import atexit
import dataclasses
import functools
import gc
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from evc_jax.cli import adapt, bundles, completion, convert, emotion, evaluate, serve, studio, sweep, train
from evc_jax.cli.argument_types import FAILED, print_error, say, watched
from evc_jax.cli.parser import build_parser
from evc_jax.conversion import voice_store
from evc_jax.conversion.requested_voice import ORIGINAL_VOICE, check_known
from evc_jax.errors import AudioWarning, BundleWarning, ConfigError, EvcError
from evc_jax.extras import require_extra
from evc_jax.pretrained.bundle import Bundle, load_bundle

INTERRUPTED = 130
# New objects before Python searches for garbage; its own default is 700.
COLLECTOR_THRESHOLD = 100_000


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code: 0 all done, 2 something the user can mend, 130 interrupted."""
    if argv is None:
        _spare_the_collector()
    for stream in (sys.stdout, sys.stderr):
        # A file's name may hold what the terminal cannot show, or no valid text at all.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    if arguments.command == "train":
        arguments.settings = rest  # of its config, whose keys are known once it is read
    elif rest:
        parser.refuse(arguments.command, rest)
    with warnings.catch_warnings():
        warnings.showwarning = functools.partial(_show_warning, arguments.command, warnings.showwarning)
        try:
            return _COMMANDS[arguments.command](arguments)
        except EvcError as error:
            print_error(arguments.command, str(error))
        except OSError as error:  # a full disk, a folder that may not be written
            print_error(arguments.command, f"{error}.")
        except KeyboardInterrupt:
            print_error(arguments.command, "interrupted.")
            return INTERRUPTED
    return FAILED


def _show_warning(command: str, show_others: Callable, message, category: type[Warning], *place, **rest) -> None:
    """Takes the place of `warnings.showwarning`: one line for a warning of ours."""
    if issubclass(category, AudioWarning | BundleWarning):
        print_error(command, str(message))
    else:
        show_others(message, category, *place, **rest)


def _spare_the_collector() -> None:
    """Saves 0.5 s of the 7 s of CPU time of a short conversion: imports make objects, but no garbage to search for."""
    gc.set_threshold(COLLECTOR_THRESHOLD, 20, 20)
    atexit.register(gc.freeze)


def _voices(arguments: argparse.Namespace) -> int:
    if arguments.list:
        _list_voices(arguments)
        return 0
    names = _names_of_voices(arguments)
    folder = arguments.voices_dir or voice_store.voices_dir()
    bundle = load_bundle(arguments.bundle, watched(arguments))
    if arguments.recordings:
        voices = _converter(bundle).voices.clone(arguments.recordings)[None]
    else:
        bundle.require("voicegan")
        voices = _converter(bundle).voices.sample(arguments.number, arguments.sex, arguments.seed)

    from evc_jax.conversion.voices import write_voices

    there = {name for name in names if voice_store.find(name, folder)}
    for name, file in zip(names, write_voices(folder, names, voices), strict=True):
        say(arguments, f"{file}{' (in place of what was there)' if name in there else ''}")
    return 0


def _list_voices(arguments: argparse.Namespace) -> None:
    found = voice_store.names(arguments.voices_dir)
    if arguments.bundle:
        bundle = load_bundle(arguments.bundle, watched(arguments))
        found |= dict.fromkeys(bundle.voices, bundle.path)
    for name, place in found.items():
        print(f"{name}\t{place}")
    if not found:
        print_error("voices", f"there are none in {arguments.voices_dir or voice_store.voices_dir()}.")


def _names_of_voices(arguments: argparse.Namespace) -> list[str]:
    """What the voices will be called; all that can be wrong with the arguments is found here."""
    name = arguments.name if arguments.name is None else voice_store.check_name(arguments.name)
    if arguments.recordings:
        if arguments.sex or arguments.number > 1:
            raise ConfigError("Either recordings or a sex to sample make a voice; give --from or --sex, not both.")
        if name is None:
            raise ConfigError("A voice of recordings needs a name; give --name.")
        return [name]
    if not arguments.sex:
        raise ConfigError("The voice to write is not given; give --from with recordings, or --sex to sample one.")
    if name is None:
        return [f"{arguments.sex}-{arguments.seed}-{i}" for i in range(arguments.number)]
    return [name] if arguments.number == 1 else [f"{name}-{i}" for i in range(arguments.number)]


def _similarity(arguments: argparse.Namespace) -> int:
    voices = [voice_store.locate(name, arguments.voices_dir) for name in (arguments.a, arguments.b)]
    bundle = load_bundle(arguments.bundle)
    for voice in voices:
        if voice == ORIGINAL_VOICE:
            raise ConfigError(f"{voice!r} is no recording to compare; give a recording, a folder or a voice.")
        check_known(voice, bundle)
    resolve = _converter(bundle).voices.resolve

    from evc_jax.evaluation.speakers import compare

    result = compare(*(resolve(voice) for voice in voices))
    print(json.dumps(dataclasses.asdict(result)) if arguments.json else result)
    return 0


def _prepare(arguments: argparse.Namespace) -> int:
    require_extra("train", "Preparing a dataset")
    from evc_jax.data.prepare.builder import prepare
    from evc_jax.data.prepare.splits import SplitRules

    file = Path(arguments.splits) if arguments.splits else None
    splits = SplitRules(arguments.validation_share, arguments.test_share, file)
    report = prepare(
        arguments.corpus,
        arguments.path,
        arguments.output,
        dataset_name=arguments.name,
        embedder=arguments.embedder,
        mel_storage=arguments.mel_storage,
        audio_storage=arguments.audio_storage,
        max_seconds=arguments.max_seconds,
        splits=splits,
        workers=arguments.workers,
        progress=watched(arguments) if arguments.progress is None else arguments.progress,
        runner=arguments.runner,
        beam_options=arguments.beam_options,
        log=lambda line: say(arguments, line, sys.stderr),
    )
    say(arguments, report)
    return 0


def _converter(bundle: Bundle):
    # XLA logs what is of no use to a person who converts a recording.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from evc_jax.conversion.converter import Converter
    from evc_jax.jax_cache import enable_cache

    enable_cache()
    return Converter(bundle)


_COMMANDS = {
    "convert": lambda arguments: convert.run(arguments, _converter),
    "sweep": lambda arguments: sweep.run(arguments, convert.requested(arguments), _converter),
    "transfer": lambda arguments: convert.run_transfer(arguments, _converter),
    "voices": _voices,
    "similarity": _similarity,
    "emotion": lambda arguments: emotion.run(arguments, _converter),
    "prepare": _prepare,
    "train": train.run,
    "bundle": bundles.run,
    "evaluate": lambda arguments: evaluate.run(arguments, convert.given_options(arguments), _converter),
    "adapt": adapt.run,
    "serve": lambda arguments: serve.run(arguments, _converter),
    "studio": studio.run,
    "completion": lambda arguments: completion.run(arguments, build_parser()),
}
