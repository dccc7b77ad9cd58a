"""`evc emotion`: its arguments, and running it. Imports nothing slow before it runs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evc_jax.cli import pipes
from evc_jax.cli.argument_types import FAILED, print_error
from evc_jax.errors import AudioError
from evc_jax.files import printable, recordings_in

if TYPE_CHECKING:
    from evc_jax.features.emotion_classifier import EmotionEstimate
    from evc_jax.features.extract import Features

EPILOG = """\
examples:
  evc emotion acted.wav
  evc emotion recordings/ --json
  evc emotion acted.wav --neutral plain.wav other.wav      beside neutral recordings of the same speaker

The emotion is one of the bundle's, or "uncertain" where the most likely one would be wrong more often than right. A
strength of 1 is that of the actors in the training data.
A recording without speech is named and the others go on; the exit code is then 2."""

UNCERTAIN = "uncertain"
LINE = "{:<11}{:<12}{:<32}{:<10}{}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    inputs = "recordings (WAV, FLAC, MP3, M4A, WebM, ...) and folders; - is standard input"
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=inputs)
    neutral = "recordings and folders of the speaker of all inputs, speaking neutrally"
    parser.add_argument("--neutral", nargs="+", default=[], metavar="RECORDING", help=neutral)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(arguments: argparse.Namespace, load: Callable[[Any], Any]) -> int:
    """Runs the command; `load` makes the converter of a bundle."""
    from evc_jax.pretrained.bundle import load_bundle

    beside = [file for name in arguments.neutral for file in _recordings(name)]
    with pipes.received(arguments.inputs) as inputs:
        given = dict(zip(inputs, arguments.inputs, strict=True))
        files = [file for name in inputs for file in _recordings(name)]
        converter = load(load_bundle(arguments.bundle))
        neutral = [_read(file, converter)[0] for file in beside]
        rows = []
        for file in files:
            try:
                _, estimate = _read(file, converter, neutral)
            except (AudioError, OSError) as error:
                print_error("emotion", str(error))
                continue
            rows.append(_row(given.get(str(file), str(file)), estimate))
            if not arguments.json:
                _print(rows[-1], is_first=len(rows) == 1)
    if arguments.json:
        print(json.dumps(rows, indent=2))
    return FAILED if len(rows) < len(files) else 0


def _recordings(name: str) -> list[Path]:
    return recordings_in(name) if Path(name).is_dir() else [Path(name)]


def _read(file: Path, converter: Any, neutral: Sequence[Features] = ()) -> tuple[Features, EmotionEstimate]:
    from evc_jax.audio.decoding import naming_errors
    from evc_jax.cli.batch import extract_features
    from evc_jax.conversion.emotion_reference import estimate_emotion

    features = extract_features(file, converter)
    with naming_errors(file):
        return features, estimate_emotion(features, converter.bundle, neutral)


def _row(name: str, estimate: EmotionEstimate) -> dict[str, Any]:
    probabilities = {each: round(estimate.probabilities[each], 3) for each in estimate.ranking}
    return {
        "file": printable(name),
        "emotion": estimate.emotion if estimate.certain else UNCERTAIN,
        "confidence": round(estimate.confidence, 3),
        "strength": round(estimate.strength, 2),
        "probabilities": probabilities,
    }


def _print(row: dict[str, Any], is_first: bool) -> None:
    """A line of the table; where the emotion is uncertain the two most likely ones stand beside it."""
    if is_first:
        print(LINE.format("emotion", "confidence", "next best", "strength", "file"))
    ranked = [f"{name} {value:.2f}" for name, value in row["probabilities"].items()]
    others = ranked[:2] if row["emotion"] == UNCERTAIN else ranked[1:2]
    confidence, strength = f"{row['confidence']:.2f}", f"{row['strength']:.2f}"
    print(LINE.format(row["emotion"], confidence, ", ".join(others), strength, row["file"]))
