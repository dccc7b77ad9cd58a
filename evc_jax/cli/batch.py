"""Many recordings in one go: which file each becomes, and converting them one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evc_jax.audio import io as audio_io
from evc_jax.audio.decoding import naming_errors
from evc_jax.audio.formats import OUTPUT_SUFFIXES, SUFFIX_WORDS
from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import ConfigError, EvcError
from evc_jax.files import RECORDING_SUFFIXES, UNREAD_SUFFIXES, find_recordings, passed_over_lines, recordings_in

if TYPE_CHECKING:  # its import would cost JAX's
    from evc_jax.conversion.converter import Converter


@dataclass(frozen=True)
class Job:
    """One recording to convert and the file to write."""

    source: Path
    output: Path


@dataclass(frozen=True)
class Result:
    """What became of a job."""

    job: Job
    error: str | None = None  # the sentence of what went wrong; None when the output is there
    duration_s: float = 0.0  # of the output
    seconds: float = 0.0  # that the conversion took
    replaced: bool = False  # whether a file of that name was there before


def plan_outputs(
    inputs: Sequence[str],
    output: str,
    references: Sequence[str] = (),
    log: Callable[[str], None] = lambda line: None,
    suffix: str = ".wav",
) -> list[Job]:
    """Decides what is written where; looks at names only, and refuses to overwrite a source.

    Args:
      inputs: recordings and folders, which are searched for recordings at any depth.
      output: for a single recording a file to write, with one of `OUTPUT_SUFFIXES`; else a folder, made where its
        parent exists. Inside it recordings keep their names.
      references: other files and folders that must not be overwritten, those that lend their voice.
      log: is called with a line for each reason why files of a folder are passed over.
      suffix: of the files in a folder.

    Raises:
      ConfigError: nothing to convert, or an output that cannot be.
    """
    target = Path(output)
    sources = [found for name in inputs for found in _search(Path(name), target, log)]
    if not target.is_dir() and target.suffix.lower() in (*RECORDING_SUFFIXES, *UNREAD_SUFFIXES):
        if len(inputs) > 1 or Path(inputs[0]).is_dir():
            raise ConfigError(f"Several recordings cannot become the one file {target}; give a folder as -o.")
        jobs = [Job(Path(inputs[0]), plan_single(output, ()))]
    else:
        jobs = _into_folder(sources, target, suffix)
    originals = [source for source, _ in sources] + [Path(name) for name in references]
    for job in jobs:
        check_overwrites(job.output, originals)
    return jobs


def check_overwrites(output: Path, originals: Sequence[Path]) -> None:
    """Raises ConfigError where an output would replace a recording that is needed, or one in a folder of them."""
    place = output.resolve()
    for original in originals:
        inside = original.is_dir() and original.resolve() in place.parents
        if place == original.resolve() or (inside and place.exists()):
            raise ConfigError(f"{output} would overwrite a recording that is needed; give another -o.")
    if output.is_dir():
        raise ConfigError(f"{output} is a folder where a recording is to be written; give another -o.")


def plan_single(output: str, originals: Sequence[str]) -> Path:
    """The one file of sound to write; raises ConfigError where it cannot be written or is one of the originals."""
    target = Path(output)
    if target.suffix.lower() not in OUTPUT_SUFFIXES:
        raise ConfigError(f"{target} cannot be written; name the output {SUFFIX_WORDS}.")
    check_parent(target)
    check_overwrites(target, [Path(name) for name in originals])
    return target


def run(
    jobs: Sequence[Job],
    converter: Converter,
    options: ConversionOptions,
    after: Callable | None = None,
    progress: bool = False,
    comment: str = "",
    output_rate_hz: int | None = None,
) -> Iterator[Result]:
    """Converts job by job; a recording that cannot be converted does not stop the others.

    `after(job, conversion)` is called once an output is written, e.g. to draw it; with it a conversion is in memory as
    a whole. `progress` draws a bar for each long recording. The comment goes into the outputs' metadata. Their
    sample rate is the converter's where none is given.
    """
    for job in jobs:
        started, replaced = time.perf_counter(), job.output.exists()
        try:
            duration_s = _convert(job, converter, options, after, progress, comment, output_rate_hz)
        except (EvcError, OSError) as error:
            yield Result(job, error=_naming(job.source, str(error)))
        else:
            yield Result(job, None, duration_s, time.perf_counter() - started, replaced)


def _convert(
    job: Job,
    converter: Converter,
    options: ConversionOptions,
    after: Callable | None,
    progress: bool,
    comment: str,
    output_rate_hz: int | None,
) -> float:
    from evc_jax.conversion import long_recordings

    if after is None:
        return long_recordings.convert_file(
            converter, job.source, job.output, options, progress, comment, output_rate_hz
        )
    conversion = long_recordings.convert_recording(converter, job.source, options)
    audio_io.save(job.output, conversion.audio, converter.sample_rate_hz, comment, output_rate_hz)
    after(job, conversion)
    return len(conversion.audio) / converter.sample_rate_hz


def extract_features(path: Path, converter: Converter) -> Any:
    """The features of a recording; raises AudioError, which names it, where it cannot be used."""
    with naming_errors(path):
        return converter.extract(audio_io.load(path, converter.sample_rate_hz), converter.sample_rate_hz)


def _search(path: Path, target: Path, log: Callable[[str], None]) -> list[tuple[Path, Path]]:
    """Recordings under `path` with their names in the output folder; what lies in `target` is an earlier run's."""
    if not path.is_dir():
        return [(path, Path(path.name))]
    found = find_recordings(path)
    files = [file for file in found.files if target in (path, *path.parents) or target not in file.parents]
    if not found.files:
        recordings_in(path)  # raises, with what the folder holds instead
    if not files:
        raise ConfigError(f"The folder {path} holds only outputs of earlier runs; give another.")
    for line in passed_over_lines(found.passed_over, path):
        log(f"{path}: {line}")
    return [(file, file.relative_to(path)) for file in files]


def _into_folder(sources: list[tuple[Path, Path]], folder: Path, suffix: str) -> list[Job]:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, neither a folder nor named {SUFFIX_WORDS}; give another -o.")
    check_parent(folder)
    taken: set[Path] = set()
    jobs = []
    for source, name in sources:
        output = folder / name.with_suffix(suffix)
        number = 2
        while output in taken:
            output = folder / name.with_name(f"{name.stem}-{number}{suffix}")
            number += 1
        taken.add(output)
        jobs.append(Job(source, output))
    return jobs


def check_parent(path: Path) -> None:
    """Raises ConfigError unless the folder that is to hold the path exists."""
    if not path.resolve().parent.is_dir():
        raise ConfigError(f"The folder {path.resolve().parent} does not exist; make it, or give another -o.")


def _naming(source: Path, message: str) -> str:
    return message if str(source) in message else f"{source}: {message}"
