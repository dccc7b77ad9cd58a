"""Explore: a map of voices, each of which can be used, and a grid of emotions and strengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from evc_jax.conversion.options import ConversionOptions
from evc_jax.errors import ConfigError, EvcError
from evc_jax.evaluation.metrics import cosine
from evc_jax.files import ASSETS
from evc_jax.studio import emotion_grid
from evc_jax.studio.controls import Controls
from evc_jax.studio.convert_tab import given_recording
from evc_jax.studio.events import guarded, without_folders
from evc_jax.studio.players import Link, notice_html, player_html
from evc_jax.studio.session import Studio
from evc_jax.studio.voice_map import MAX_DRAWN, OWN, REFERENCE, MapVoice, VoiceMap

_PRIVATE: dict[str, Any] = {"api_visibility": "private"}
_NONE = "Click a point, or press Tab, the arrow keys and Enter."
# A recording is analysed when the map is looked at, not at every upload.
_ONLY_WHERE_SHOWN = """(...given) => document.querySelector("#voice-map")?.offsetParent
  ? given : [null, null, ...given.slice(2)]"""


def build(studio: Studio, source: gr.Audio, controls: Controls, tab: gr.Tab) -> None:
    """The tab; the map is drawn when the tab is selected."""
    with gr.Accordion("Map of voices", open=True):
        _add_map(studio, source, controls, tab)
    with gr.Accordion("Grid of emotions", open=True):
        emotion_grid.build(studio, source, controls)


def _add_map(studio: Studio, source: gr.Audio, controls: Controls, tab: gr.Tab) -> None:
    voices = VoiceMap(studio.bundle, studio.converter.voices)
    shown, chosen = gr.State({}), gr.State(None)
    picture = gr.HTML(
        [],
        html_template="",
        js_on_load=(ASSETS / "studio" / "map.js").read_text(encoding="utf-8"),
        elem_id="voice-map",
        apply_default_css=False,
    )
    gr.HTML(notice_html(voices.sentence), js_on_load=None)
    with gr.Row():
        with gr.Column(min_width=280):
            count = gr.Slider(0, MAX_DRAWN, 12, step=1, label="New voices of each sex", elem_id="map-count")
            seed = gr.Number(0, label="Seed of the new voices", precision=0, minimum=0, elem_id="map-seed")
            draw = gr.Button("Draw others", elem_id="map-draw", size="sm")
        with gr.Column(min_width=280):
            panel = gr.HTML(notice_html(_NONE), js_on_load=None, elem_id="map-chosen")
            with gr.Row():
                use = gr.Button("Use this voice", variant="primary", elem_id="map-use", interactive=False)
                listen = gr.Button("Listen", elem_id="map-listen", interactive=False)
            sound = gr.HTML(elem_id="map-sound", js_on_load=None)
    for component in (count, seed, draw):
        component.visible = voices.can_draw

    @guarded
    def show(
        recording: str | None, reference: str | None, number: int, of_seed: int | None, voice: MapVoice | None
    ) -> list[Any]:
        found = voices_on(studio, voices, recording, reference, number, of_seed)
        by_key = {each.key: each for each in found}
        return [by_key, voices.points(found), _panel(voice, by_key) if voice else gr.skip()]

    @guarded
    def choose(event: gr.EventData, found: dict[str, MapVoice]) -> list[Any]:
        voice = found.get(str(event.key))
        if voice is None:
            raise ConfigError("This voice is no longer on the map; choose another one.")
        enabled = gr.update(interactive=True)
        return [voice, _panel(voice, found), enabled, enabled, ""]

    @guarded
    def take(voice: MapVoice) -> list[Any]:
        used = notice_html(f"Convert, Timeline and the grid below use {voice.text}.")
        return [*controls.hold(voice.text, voice.voice), used]

    @guarded
    def play(voice: MapVoice, recording: str | None, progress=gr.Progress()) -> str:
        path = given_recording(recording)
        options = ConversionOptions(voice=voice.voice)
        made = studio.convert(path, options, lambda share: progress(share, "converting"))
        name = f"{Path(path).stem}_{voice.label.replace(' ', '_').replace('/', '_')}.wav"
        url = studio.add_sound(name, made.audio, studio.settings_of(options))
        return player_html(f"Your recording as {voice.label}", url, links=[Link("Download", url, name)])

    given, drawn = [source, controls.reference, count, seed, chosen], [shown, picture, panel]
    drawing: dict[str, Any] = {**_PRIVATE, "show_progress": "minimal"}
    gr.on([tab.select, count.release, seed.change], show, given, drawn, **drawing)
    gr.on([source.change, controls.reference.change], show, given, drawn, js=_ONLY_WHERE_SHOWN, **drawing)
    draw.click(lambda number: int(number or 0) + 1, seed, seed, queue=False, **_PRIVATE)
    picture.select(choose, shown, [chosen, panel, use, listen, sound], show_progress="hidden", **_PRIVATE)
    use.click(take, chosen, [*controls.held_outputs, panel], show_progress="hidden", **_PRIVATE)
    listen.click(play, [chosen, source], sound, **_PRIVATE)


def voices_on(
    studio: Studio, voices: VoiceMap, recording: str | None, reference: str | None, count: int, seed: int | None
) -> list[MapVoice]:
    """What the map shows.

    A recording that cannot be used is left out, with a warning in the page.

    Raises:
      ConfigError: the seed is out of bounds.
    """
    checked = ConversionOptions(seed=int(seed or 0)).seed
    found = [*voices.speakers, *voices.drawn(count, checked), *voices.named()]
    for kind, label, path in ((REFERENCE, "Reference", reference), (OWN, "Your recording", recording)):
        if path:
            try:
                found.append(MapVoice(kind, label, studio.features(path).embedding))
            except EvcError as error:
                gr.Warning(without_folders(str(error)))
    return found


def _panel(voice: MapVoice, shown: dict[str, MapVoice]) -> str:
    own = next((each for each in shown.values() if each.kind == OWN), None)
    if voice.kind == OWN:
        compared = "Convert keeps it where no other voice is chosen."
    elif own is None:
        compared = "With a recording above, its cosine to that recording's voice stands here."
    else:
        compared = f"Cosine to your recording: {cosine(own.embedding, voice.embedding):.2f} (1 is the same)."
    return notice_html(f"{voice.text}. {compared}")
