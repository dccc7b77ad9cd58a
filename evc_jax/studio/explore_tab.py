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
from evc_jax.studio.events import PRIVATE, guarded, without_folders
from evc_jax.studio.players import Link, notice_html, player_html
from evc_jax.studio.session import Studio
from evc_jax.studio.voice_map import MAX_DRAWN, OWN, REFERENCE, MapVoice, VoiceMap

_NONE = "Click a point, or press Tab, the arrow keys and Enter."
# A recording is analysed when the map is looked at, not at every upload.
_ONLY_WHERE_SHOWN = """(...given) => document.querySelector("#voice-map")?.offsetParent
  ? given : [null, null, ...given.slice(2)]"""


def build(studio: Studio, source: gr.Audio, controls: Controls, tab: gr.Tab) -> None:
    """The tab; the map is drawn when the tab is selected."""
    with gr.Accordion("Map of voices", open=True):
        _Map(studio, source, controls).connect(tab)
    with gr.Accordion("Grid of emotions", open=True):
        emotion_grid.build(studio, source, controls)


class _Map:
    """The map with what can be done with a voice of it."""

    def __init__(self, studio: Studio, source: gr.Audio, controls: Controls):
        """Makes the components at this place of the page."""
        self._studio, self._source, self._controls = studio, source, controls
        self._voices = VoiceMap(studio.bundle, studio.converter.voices)
        self._shown, self._chosen = gr.State({}), gr.State(None)
        self._picture = gr.HTML(
            [],
            html_template="",
            js_on_load=(ASSETS / "studio" / "map.js").read_text(encoding="utf-8"),
            elem_id="voice-map",
            apply_default_css=False,
        )
        gr.HTML(notice_html(self._voices.sentence), js_on_load=None)
        with gr.Row():
            with gr.Column(min_width=280, visible=self._voices.can_draw):
                self._count = gr.Slider(0, MAX_DRAWN, 12, step=1, label="New voices of each sex", elem_id="map-count")
                self._seed = gr.Number(0, label="Seed of the new voices", precision=0, minimum=0, elem_id="map-seed")
                self._draw = gr.Button("Draw others", elem_id="map-draw", size="sm")
            with gr.Column(min_width=280):
                self._panel = gr.HTML(notice_html(_NONE), js_on_load=None, elem_id="map-chosen")
                with gr.Row():
                    self._use = gr.Button("Use this voice", variant="primary", elem_id="map-use", interactive=False)
                    self._listen = gr.Button("Listen", elem_id="map-listen", interactive=False)
                self._sound = gr.HTML(elem_id="map-sound", js_on_load=None)

    def connect(self, tab: gr.Tab) -> None:
        """Makes the components work."""
        given = [self._source, self._controls.reference, self._count, self._seed, self._chosen]
        changes = [self._source.change, self._controls.reference.change]
        drawing: dict[str, Any] = {"show_progress": "minimal", **PRIVATE}
        drawing |= {"fn": self.show, "inputs": given, "outputs": [self._shown, self._picture, self._panel]}
        gr.on([tab.select, self._count.release, self._seed.change], **drawing)
        gr.on(changes, js=_ONLY_WHERE_SHOWN, **drawing)
        self._draw.click(lambda seed: int(seed or 0) + 1, self._seed, self._seed, queue=False, **PRIVATE)
        quiet: dict[str, Any] = {"show_progress": "hidden", **PRIVATE}
        choosing = [self._chosen, self._panel, self._use, self._listen, self._sound]
        self._picture.select(self.choose, self._shown, choosing, **quiet)
        self._use.click(self.use, self._chosen, [*self._controls.held_outputs, self._panel], **quiet)
        self._listen.click(self.listen, [self._chosen, self._source], self._sound, **PRIVATE)

    @guarded
    def show(
        self, recording: str | None, reference: str | None, count: int | None, seed: int | None, chosen: MapVoice | None
    ) -> list[Any]:
        """The voices by their keys, the points, and what the chosen voice is."""
        found = voices_on(self._studio, self._voices, recording, reference, count, seed)
        by_key = {each.key: each for each in found}
        return [by_key, self._voices.points(found), panel_html(chosen, by_key) if chosen else gr.skip()]

    @guarded
    def choose(self, event: gr.EventData, shown: dict[str, MapVoice]) -> list[Any]:
        """The voice of a point that was clicked."""
        voice = shown.get(str(event.key))
        if voice is None:
            raise ConfigError("This voice is no longer on the map; choose another one.")
        enabled = gr.update(interactive=True)
        return [voice, panel_html(voice, shown), enabled, enabled, ""]

    @guarded
    def use(self, voice: MapVoice) -> list[Any]:
        """Makes it the voice of Convert."""
        used = notice_html(f"Convert, Timeline and the grid below use {voice.text}.")
        return [*self._controls.hold(voice.text, voice.voice), used]

    @guarded
    def listen(self, voice: MapVoice, recording: str | None, progress=gr.Progress()) -> str:
        """The recording in that voice; nothing else is changed."""
        path = given_recording(recording)
        options = ConversionOptions(voice=voice.voice)
        made = self._studio.convert(path, options, lambda share: progress(share, "converting"))
        name = f"{Path(path).stem}_{voice.label.replace(' ', '_').replace('/', '_')}.wav"
        url = self._studio.add_sound(name, made.audio, self._studio.settings_of(options))
        return player_html(f"Your recording as {voice.label}", url, links=[Link("Download", url, name)])


def voices_on(
    studio: Studio, voices: VoiceMap, recording: str | None, reference: str | None, count: int | None, seed: int | None
) -> list[MapVoice]:
    """What the map shows.

    A recording that cannot be used is left out, with a warning in the page.

    Raises:
      ConfigError: the seed is out of bounds.
    """
    checked = ConversionOptions(seed=int(seed or 0)).seed
    found = [*voices.speakers, *voices.drawn(int(count or 0), checked), *voices.named()]
    for kind, label, path in ((REFERENCE, "Reference", reference), (OWN, "Your recording", recording)):
        if path:
            try:
                found.append(MapVoice(kind, label, studio.features(path).embedding))
            except EvcError as error:
                gr.Warning(without_folders(str(error)))
    return found


def panel_html(voice: MapVoice, shown: dict[str, MapVoice]) -> str:
    """What a voice is, and how near to the recording's."""
    own = next((each for each in shown.values() if each.kind == OWN), None)
    if voice.kind == OWN:
        compared = "Convert keeps it where no other voice is chosen."
    elif own is None:
        compared = "With a recording above, its cosine to that recording's voice stands here."
    else:
        compared = f"Cosine to your recording: {cosine(own.embedding, voice.embedding):.2f} (1 is the same)."
    return notice_html(f"{voice.text}. {compared}")
