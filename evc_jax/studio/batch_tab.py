"""Batch: many recordings with Convert's controls, a table of what became of each, and one ZIP file."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from evc_jax.conversion.long_recordings import convert_file
from evc_jax.conversion.settings import SUFFIX, metadata_text
from evc_jax.errors import ConfigError, EvcError
from evc_jax.files import RECORDING_SUFFIXES, printable
from evc_jax.studio.controls import Controls
from evc_jax.studio.events import PRIVATE, guarded, without_folders
from evc_jax.studio.session import Studio

_HEADER = ("recording", "result", "seconds of sound", "seconds it took")


@dataclass(frozen=True)
class Row:
    """What became of a recording: the name and the URL of the result, or the sentence of what went wrong."""

    source: str
    name: str = ""
    url: str = ""
    duration_s: float = 0.0
    seconds: float = 0.0
    error: str = ""

    def html(self) -> str:
        """A row of the table."""
        if self.error:
            return f'<tr><td>{escape(self.source)}</td><td colspan="3" class="evc-error">{escape(self.error)}</td></tr>'
        label = escape(f"{self.source}, converted")
        sound = f'<audio controls preload="none" src="{escape(self.url)}" aria-label="{label}"></audio>'
        cells = (escape(self.source), sound, f"{self.duration_s:.1f}", f"{self.seconds:.1f}")
        return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def build(studio: Studio, controls: Controls) -> None:
    """The tab."""
    text = "Emotion, voice and the other controls are those of Convert. Timbre and level are found for each recording."
    gr.HTML(f"<p class='evc-text'>{text}</p>", js_on_load=None)
    files = gr.File(label="Recordings", file_count="multiple", type="filepath", elem_id="batch-files", height=180)
    folder = gr.UploadButton("Choose a folder instead", file_count="directory", size="sm", elem_id="batch-folder")
    button = gr.Button("Convert all", variant="primary", elem_id="convert-all")
    table = gr.HTML(elem_id="batch-result", js_on_load=None, min_height=60)
    folder.upload(lambda chosen: chosen, folder, files, **PRIVATE)

    @guarded
    def convert_all(paths: list[str] | None, *values: Any, progress=gr.Progress()) -> Iterator[str]:
        recordings = recordings_of(paths or [], studio.settings.max_files)
        options = controls.options(values)
        options.check(studio.bundle)
        settings = studio.settings_of(options)
        rows: list[Row] = []
        for number, path in enumerate(recordings):
            progress((number, len(recordings)), unit="recordings")
            rows.append(_converted(studio, path, _unused(path, rows), options, metadata_text(settings)))
            yield _table(rows)
        done = [row for row in rows if not row.error]
        yield _table(rows, _zip_link(studio, done, settings) if done else "", len(done), len(rows))

    button.click(convert_all, [files, *controls.components], table, **PRIVATE)


def recordings_of(paths: Sequence[str], most: int) -> list[Path]:
    """The recordings among uploaded files.

    Raises:
      ConfigError: there are none, or too many.
    """
    found = [Path(path) for path in paths if Path(path).suffix.lower() in RECORDING_SUFFIXES]
    if not found:
        raise ConfigError("There are no recordings; choose files or a folder that has some.")
    if len(found) > most:
        raise ConfigError(f"There are {len(found)} recordings; give up to {most} at a time.")
    return found


def _converted(studio: Studio, path: Path, name: str, options: Any, comment: str) -> Row:
    started, shown = time.perf_counter(), printable(path.name)
    destination = studio.new_file(".wav")
    try:
        studio.check_duration(path)
        duration_s = convert_file(studio.converter, path, destination, options, progress=False, comment=comment)
    except (EvcError, OSError) as error:
        return Row(shown, error=without_folders(str(error)))
    url = studio.outputs.add(name, destination)
    return Row(shown, name, url, duration_s, time.perf_counter() - started)


def _unused(path: Path, rows: Sequence[Row]) -> str:
    """The recording's name as a WAV file, with a number where an earlier one has it."""
    taken, name, number = {row.name for row in rows}, f"{printable(path.stem)}.wav", 2
    while name in taken:
        name, number = f"{printable(path.stem)}-{number}.wav", number + 1
    return name


def _zip_link(studio: Studio, rows: Sequence[Row], settings: dict[str, Any]) -> str:
    files: dict[str, Path | bytes] = {f"batch{SUFFIX}": (json.dumps(settings, indent=2) + "\n").encode()}
    for row in rows:
        if kept := studio.outputs.file_of(row.url):
            files[row.name] = kept
    return studio.add_zip("converted.zip", files)


def _table(rows: Sequence[Row], link: str = "", done: int = 0, total: int = 0) -> str:
    head = "".join(f"<th>{name}</th>" for name in _HEADER)
    summary = f'<p role="status">{done} of {total} recordings were converted. {link}</p>' if total else ""
    body = "".join(row.html() for row in rows)
    return f'{summary}<div class="evc-scroll"><table class="evc-table"><tr>{head}</tr>{body}</table></div>'
