"""`evc sweep`: one recording with several emotions and strengths, as a page. Imports nothing slow before it runs."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evc_jax.cli import pipes
from evc_jax.cli.argument_types import names_of, say, strengths_of, watched
from evc_jax.conversion.options import EMOTION_WAYS, ConversionOptions, options_from
from evc_jax.conversion.requested_voice import ORIGINAL_VOICE
from evc_jax.conversion.settings import metadata_text, settings_of
from evc_jax.errors import AudioError, ConfigError
from evc_jax.files import atomic_dir, printable
from evc_jax.pretrained.bundle import Bundle, load_bundle

EPILOG = """\
examples:
  evc sweep hello.wav                                         hello_sweep/index.html: all emotions at 0.5, 1 and 1.5
  evc sweep hello.wav --emotions happy,sad --strengths 0.25,0.5,0.75,1 -o page
  evc sweep hello.wav --voice sampled:female --keep-timing --bundle my_bundle

Writes a page with players and pictures, the sounds as FLAC files, and sweep.json with their figures. The recording may
last up to 30 s. The folder is written whole or not at all; that of an earlier sweep is replaced."""

PAGE, FIGURES = "index.html", "sweep.json"
MAX_DURATION_S = 30.0
# The options of `evc convert` that the sweep sets itself, or that its constant emotions have no use for.
LEFT_OUT = (*EMOTION_WAYS, "emotion_fade", "strength")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("recording", metavar="INPUT", help="a recording of up to 30 s; - is standard input")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="default: NAME_sweep, in the current folder")
    parser.add_argument("--emotions", help="names joined by commas; default: all of the bundle's but neutral")
    parser.add_argument("--strengths", default="0.5,1,1.5", help="numbers joined by commas; default: 0.5,1,1.5")


@dataclass(frozen=True, eq=False)
class Cell:
    """One conversion of a sweep; `name` is that of its files, without a suffix, and `command` makes the same.

    `metadata` is what its sound carries.
    """

    emotion: str
    strength: float
    options: ConversionOptions
    name: str
    command: str
    metadata: str


def cells_of(arguments: argparse.Namespace, given: dict[str, Any], bundle: Bundle) -> list[Cell]:
    """The grid, emotion by emotion; `given` are the options that all cells share.

    Raises:
      EvcError: an emotion that the bundle does not know, or a strength or another option out of bounds.
    """
    network = options_from(given).emotion_network(bundle)
    known = bundle.emotions_of(network)
    if not known:
        bundle.require(network)
    emotions = [name for name in known if name != "neutral"]
    if arguments.emotions is not None:
        emotions = list(names_of(arguments.emotions))
    if not emotions:
        raise ConfigError(f"There is no emotion to sweep; give --emotions with some of {', '.join(known)}.")
    cells = []
    for emotion in emotions:
        for strength in strengths_of(arguments.strengths):
            options = options_from({**given, "emotion": {emotion: 1.0}, "strength": strength})
            options.check(bundle)
            name = f"{emotion}_{strength:g}".replace("/", "_")
            shown = {"emotion": emotion, "strength": f"{strength:g}", **given}
            carried = metadata_text(settings_of(options, arguments.bundle))
            cells.append(Cell(emotion, strength, options, name, _command(arguments, shown, name), carried))
    return cells


def run(arguments: argparse.Namespace, given: dict[str, Any], load: Callable[[Bundle], Any]) -> int:
    """Runs the command; `given` are the options besides the emotion, `load` makes the converter of a bundle."""
    with pipes.received([arguments.recording]) as (recording,):
        output = Path(arguments.output or f"{Path(recording).stem}_sweep")
        _check_place(output, [recording, *options_from(given).voices])
        replaced = output.exists()
        bundle = load_bundle(arguments.bundle, watched(arguments))
        cells = cells_of(arguments, given, bundle)
        converter = load(bundle)
        converter.voices.resolve(cells[0].options.voice, cells[0].options.seed)  # one that cannot be used ends here
        features = _features(Path(recording), converter)
        with atomic_dir(output.resolve()) as folder:
            write_page(folder, Path(recording).name, converter, features, cells, watched(arguments))
    say(arguments, f"{output / PAGE}{' (in place of an earlier one)' if replaced else ''}")
    return 0


def write_page(
    folder: Path, title: str, converter: Any, features: Any, cells: Sequence[Cell], progress: bool = False
) -> None:
    """Writes sounds, pictures, figures and the page of a sweep into an empty folder; `progress` draws a bar."""
    from tqdm import tqdm

    from evc_jax.evaluation.page import PICTURES, render_page
    from evc_jax.evaluation.report import Section, as_json

    source = features.audio / features.level_gain
    entries = [_write_recording(folder, "source", source, features.mel, features.f0_hz, converter.bundle.audio, "")]
    sections = {"": Section("source", "The recording", cards=[_card("source", entries[0], "")])}
    for cell in tqdm(cells, unit="conversion", leave=False, disable=not progress):
        made = converter.convert_features(features, cell.options)
        entry = _write_recording(folder, cell.name, made.audio, made.mel, made.f0_hz, made.config, cell.metadata)
        entries.append({"emotion": cell.emotion, "strength": cell.strength, **entry})
        section = Section(f"emotion-{len(sections)}", cell.emotion.capitalize())
        section = sections.setdefault(cell.emotion, section)
        section.cards.append(_card(f"{cell.emotion} {cell.strength:g}", entry, cell.command))
    text = f"{printable(title)} with emotions at several strengths; strength 1 is the emotion as it was learned."
    page = render_page(f"Emotions of {printable(title)}", [text, PICTURES], list(sections.values()))
    (folder / PAGE).write_text(page, encoding="utf-8")
    files = sorted([FIGURES, *(file.name for file in folder.iterdir())])
    figures = {"recording": printable(title), "conversions": entries, "files": files}
    (folder / FIGURES).write_text(json.dumps(as_json(figures), indent=1) + "\n", encoding="utf-8")


def _write_recording(
    folder: Path, name: str, audio: Any, mel: Any, f0_hz: Any, config: Any, comment: str
) -> dict[str, Any]:
    """Writes the sound and its picture; returns its figures."""
    from evc_jax.audio import io as audio_io
    from evc_jax.audio.plotting import draw_small_panel
    from evc_jax.evaluation.metrics import f0_summary

    sound, picture = f"{name}.flac", f"{name}.png"
    audio_io.save(folder / sound, audio, config.sample_rate_hz, comment)
    draw_small_panel(folder / picture, mel, f0_hz, config)
    summary = f0_summary(f0_hz)
    figures = dataclasses.asdict(summary) | {"duration_s": len(audio) / config.sample_rate_hz}
    return {"sound": sound, "picture": picture, "text": f"{figures['duration_s']:.2f} s, {summary}", **figures}


def _card(title: str, entry: dict[str, Any], command: str) -> Any:
    from evc_jax.evaluation.report import Card

    return Card(title, entry["text"], entry["sound"], entry["picture"], command)


def _features(recording: Path, converter: Any) -> Any:
    """The recording's features; raises AudioError where it is too long or cannot be used."""
    from evc_jax.audio.decoding import naming_errors
    from evc_jax.audio.io import AudioReader

    with naming_errors(recording):
        whole = AudioReader(recording).read(MAX_DURATION_S)
        if whole is None:
            raise AudioError(f"the recording lasts longer than {MAX_DURATION_S:.0f} s; cut out a part of it.")
        return converter.extract(*whole)


def _check_place(output: Path, needed: Sequence[Any]) -> None:
    """Raises ConfigError unless the folder can be made, or is that of an earlier sweep and nothing else."""
    from evc_jax.cli.batch import check_parent

    check_parent(output)
    if not output.exists():
        return
    if not output.is_dir():
        raise ConfigError(f"{output} is a file; give another -o.")
    foreign = sorted({file.name for file in output.iterdir()} - _files_of_sweep(output))
    if foreign:
        raise ConfigError(f"The folder {output} holds {foreign[0]}, which no sweep wrote; give another -o.")
    for file in needed:
        if isinstance(file, str) and output.resolve() in Path(file).resolve().parents:
            raise ConfigError(f"{file} lies in the folder {output}, which is replaced; give another -o.")


def _files_of_sweep(folder: Path) -> set[str]:
    try:
        return set(json.loads((folder / FIGURES).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, TypeError, KeyError):
        return set()


def _command(arguments: argparse.Namespace, options: dict[str, Any], name: str) -> str:
    """The `evc convert` with these options."""
    words = ["evc", "convert", arguments.recording]
    for option, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            if each != ORIGINAL_VOICE:
                words += [f"--{option.replace('_', '-')}", str(each)]
    words += ["--bundle", arguments.bundle] if arguments.bundle else []
    return printable(shlex.join([*words, "-o", f"{name}.wav"]))
