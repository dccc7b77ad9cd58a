"""A recording with several emotions, each at several strengths."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.result import Conversion
from evc_jax.errors import AudioError, ConfigError
from evc_jax.studio.controls import Controls
from evc_jax.studio.convert_tab import given_recording
from evc_jax.studio.events import PRIVATE, guarded
from evc_jax.studio.players import Link, player_html
from evc_jax.studio.session import Studio

MAX_DURATION_S = 30.0  # as of `evc sweep`
_STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
_CHOSEN_STRENGTHS = [0.5, 1.0, 1.5]


def build(studio: Studio, source: gr.Audio, controls: Controls) -> None:
    """The choices, and the players, which appear one after the other."""
    others = [name for name in controls.emotions if name != "neutral"]
    emotions = gr.CheckboxGroup(controls.emotions, value=others, label="Emotions", elem_id="grid-emotions")
    strengths = gr.CheckboxGroup(
        [(f"{value:g}", value) for value in _STRENGTHS],
        value=_CHOSEN_STRENGTHS,
        label="Strengths",
        info="1 is the emotion as it was learned. All other controls are those of Convert.",
        elem_id="grid-strengths",
    )
    with gr.Row():
        make = gr.Button("Make the grid", variant="primary", elem_id="grid-make")
        stop = gr.Button("Stop", elem_id="grid-stop")
    grid = gr.HTML(elem_id="grid", js_on_load=None)

    @guarded
    def fill(
        recording: str | None, names: list[str], at: list[float], *values: Any, progress=gr.Progress()
    ) -> Iterator[str]:
        path = given_recording(recording)
        cells = [
            (name, strength, controls.options(values, emotion={name: 1.0}, strength=strength))
            for name, strength in cells_of(names, at, controls.emotions)
        ]
        progress((0, len(cells)), desc="converting", unit="conversions")
        for done, html in enumerate(filled(studio, path, cells), 1):
            progress((min(done, len(cells)), len(cells)), desc="converting", unit="conversions")
            yield html

    filling = make.click(fill, [source, emotions, strengths, *controls.components], grid, **PRIVATE)
    stop.click(None, cancels=[filling], **PRIVATE)


def cells_of(names: Sequence[str], strengths: Sequence[float], known: Sequence[str]) -> list[tuple[str, float]]:
    """Emotion by emotion, in the bundle's order; raises ConfigError where nothing is chosen."""
    if not names or not strengths:
        raise ConfigError("The grid is empty; choose an emotion and a strength, or more of them.")
    return list(itertools.product((name for name in known if name in names), sorted(strengths)))


def filled(studio: Studio, path: str, cells: Sequence[tuple[str, float, ConversionOptions]]) -> Iterator[str]:
    """The grid after each of its conversions, and at the end with a download of all.

    Raises:
      EvcError: the recording or an option does not allow it.
    """
    duration_s = studio.check_duration(path)
    if duration_s > MAX_DURATION_S:
        raise AudioError(f"The recording lasts {duration_s:.0f} s; a grid takes up to {MAX_DURATION_S:.0f} s of it.")
    rows: dict[str, list[str]] = {}
    sounds: dict[str, Path | None] = {}
    for emotion, strength, options in cells:
        made = studio.convert(path, options)
        name = f"{Path(path).stem}_{emotion}_{strength:g}.wav".replace("/", "_")
        url = studio.add_sound(name, made.audio, studio.settings_of(options))
        sounds[name] = studio.outputs.file_of(url)
        player = player_html(f"{emotion} {strength:g}", url, figures_text(made), [Link("Download", url, name)])
        rows.setdefault(emotion, []).append(player)
        yield _grid_html(rows)
    archive = f"{Path(path).stem}_emotions.zip"
    link = studio.add_zip(archive, {name: file for name, file in sounds.items() if file})
    links = f'<p class="evc-links">{link}</p>'
    yield _grid_html(rows) + links


def figures_text(made: Conversion) -> str:
    """Duration and mean F0."""
    voiced_hz = made.f0_hz[made.f0_hz > 0]
    pitch = f"mean F0 {voiced_hz.mean():.0f} Hz" if len(voiced_hz) else "nothing is voiced"
    return f"{len(made.audio) / made.sample_rate_hz:.2f} s, {pitch}"


def _grid_html(rows: dict[str, list[str]]) -> str:
    return "".join(f'<div class="evc-grid">{"".join(players)}</div>' for players in rows.values())
