"""Transfer: rhythm, pitch or timbre of another recording of the same sentence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from evc_jax.audio.plotting import picture_of_panels
from evc_jax.conversion.aspects import ASPECT_NAMES, TransferAspects
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.picture import transfer_panels
from evc_jax.errors import ConfigError
from evc_jax.studio.convert_tab import given_recording
from evc_jax.studio.events import PRIVATE, guarded
from evc_jax.studio.players import Link, pair_html, player_html
from evc_jax.studio.recordings import recording_input
from evc_jax.studio.session import Studio


def build(studio: Studio, source: gr.Audio) -> None:
    """The tab; `source` keeps what is not ticked."""
    gr.HTML("<p class='evc-text'>Both recordings have to be of the same sentence.</p>", js_on_load=None)
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            target = recording_input("The other recording of the sentence", "target")
            choices = [(name.capitalize(), letter) for letter, name in ASPECT_NAMES.items()]
            ticked = gr.CheckboxGroup(choices, value=["R", "F"], label="Taken from it", elem_id="aspects")
        with gr.Column(scale=3, min_width=320):
            button = gr.Button("Transfer", variant="primary", elem_id="transfer")
            result = gr.HTML(elem_id="transfer-result", js_on_load=None, min_height=60)
            picture = gr.HTML(elem_id="transfer-picture", js_on_load=None)

    @guarded
    def transfer(recording: str | None, other: str | None, letters: list[str]) -> Iterator[tuple[Any, Any]]:
        path = given_recording(recording)
        if not other:
            raise ConfigError("There is no other recording to take from; record or upload one.")
        if not letters:
            raise ConfigError("Nothing is ticked; tick rhythm, pitch or timbre.")
        aspects, options = TransferAspects.parse("".join(letters)), ConversionOptions()
        studio.converter.check_transfer(aspects, options)
        made = studio.converter.transfer_features(studio.features(path), studio.features(other), aspects, options)
        settings = studio.settings_of(options, aspects=str(aspects))
        name = f"{Path(path).stem}_transfer.wav"
        url = studio.add_sound(name, made.audio, settings)
        heard = {"Source": made.source, "The other one": made.target}
        players = [
            player_html(title, studio.add_sound("recording.wav", each.audio / each.level_gain))
            for title, each in heard.items()
        ]
        seconds, download = f"{len(made.audio) / made.sample_rate_hz:.2f} s", Link("Download", url, name)
        players.append(player_html("Result", url, seconds, [download]))
        yield pair_html(*players), gr.skip()
        pixels = picture_of_panels(transfer_panels(made, "result"), made.config)
        yield gr.skip(), studio.add_picture(pixels, "Mel-spectrograms and F0 of both recordings and of the result")

    button.click(transfer, [source, target, ticked], [result, picture], show_progress_on=result, **PRIVATE)
