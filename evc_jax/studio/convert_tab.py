"""Convert: a recording with another emotion, voice, melody and rate; source and result side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from evc_jax.audio.formats import OUTPUT_SUFFIXES
from evc_jax.audio.plotting import picture_of_panels
from evc_jax.conversion.emotion_reference import estimate_emotion
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.picture import conversion_panels
from evc_jax.conversion.result import Conversion
from evc_jax.conversion.settings import SUFFIX, read_settings
from evc_jax.errors import ConfigError
from evc_jax.studio.controls import Controls
from evc_jax.studio.events import PRIVATE, guarded
from evc_jax.studio.players import Link, notice_html, pair_html, player_html
from evc_jax.studio.recordings import recording_input
from evc_jax.studio.session import Studio


def build(studio: Studio, source: gr.Audio) -> Controls:
    """The tab; its controls are those of Timeline, too."""
    with gr.Row():
        with gr.Column(scale=2, min_width=320):
            controls = Controls(studio)
            _add_reference_emotion(studio, controls)
            _add_presets(studio, controls)
        with gr.Column(scale=3, min_width=320):
            button = gr.Button("Convert", variant="primary", elem_id="convert")
            result = gr.HTML(elem_id="result", js_on_load=None, min_height=60)
            picture = gr.HTML(elem_id="picture", js_on_load=None)

    @guarded
    def convert(recording: str | None, *values: Any, progress=gr.Progress()) -> Iterator[tuple[Any, Any]]:
        yield from converted(studio, recording, lambda: controls.options(values), progress)

    button.click(convert, [source, *controls.components], [result, picture], show_progress_on=result, **PRIVATE)
    return controls


def converted(studio: Studio, recording: str | None, options_of: Any, progress: Any) -> Iterator[tuple[str, Any]]:
    """The players of a conversion as soon as there is sound, then the picture, too."""
    path = given_recording(recording)
    options: ConversionOptions = options_of()
    made = studio.convert(path, options, lambda share: progress(share, "converting"))
    players = result_html(studio, Path(path).stem, made, options)
    yield players, gr.skip()
    yield players, conversion_picture(studio, made, options)


def given_recording(recording: str | None) -> str:
    """The path of the recording; raises ConfigError where there is none."""
    if not recording:
        raise ConfigError("There is no recording; record one, upload one, or use the example.")
    return recording


def result_html(studio: Studio, stem: str, made: Conversion, options: ConversionOptions) -> str:
    """Source and result side by side, with downloads of the sound and the settings."""
    settings = studio.settings_of(options)
    name = f"{stem}_{_words(options)}"
    sound = studio.add_sound(f"{name}.wav", made.audio, settings)
    saved = studio.outputs.add(name + SUFFIX, (json.dumps(settings, indent=2) + "\n").encode())
    original = studio.add_sound(f"{stem}_source.wav", made.source.audio / made.source.level_gain)
    links = [Link("Download", sound, f"{name}.wav"), Link("Settings", saved, name + SUFFIX)]
    seconds = f"{len(made.audio) / made.sample_rate_hz:.2f} s"
    before = f"{len(made.source.audio) / made.sample_rate_hz:.2f} s"
    return pair_html(player_html("Source", original, before), player_html("Result", sound, seconds, links))


def conversion_picture(studio: Studio, made: Conversion, options: ConversionOptions) -> str:
    """Both mels, F0 contours, levels and the emotion over the time of the result."""
    emotions = studio.bundle.emotions_of(options.emotion_network(studio.bundle))
    pixels = picture_of_panels(conversion_panels(made, emotions, "result"), made.config)
    return studio.add_picture(pixels, "Mel-spectrograms of source and result, their F0 contours and levels over time")


def _words(options: ConversionOptions) -> str:
    """What a file's name tells of a conversion."""
    if options.emotion_track is not None:
        return "over_time"
    names = list(options.emotion or ())
    return "_".join(names[:3]) or "converted"


def _add_reference_emotion(studio: Studio, controls: Controls) -> None:
    with gr.Accordion("Emotion from a recording", open=False):
        acted = recording_input("A recording with the emotion, of any sentence and speaker", "acted")
        take = gr.Button("Take its emotion", size="sm", elem_id="take-emotion")
        found = gr.HTML(js_on_load=None, elem_id="found-emotion")

    @guarded
    def estimate(recording: str | None) -> list[Any]:
        if not recording:
            raise ConfigError("There is no recording to take an emotion from; record or upload one.")
        estimated = estimate_emotion(studio.features(recording), studio.bundle)
        ranked = ", ".join(f"{name} {estimated.probabilities[name]:.2f}" for name in estimated.ranking[:3])
        text = f"{ranked}{'' if estimated.certain else ' (uncertain)'}. The mixer has these shares now."
        return [*controls.set_mixture(estimated.probabilities), notice_html(text)]

    take.click(estimate, acted, [controls.emotion, *controls.weights, found], **PRIVATE)


def _add_presets(studio: Studio, controls: Controls) -> None:
    with gr.Accordion("Presets", open=False, elem_id="presets"):
        kept = gr.BrowserState({}, storage_key="evc-studio-presets", secret="evc-studio")
        chosen = gr.Dropdown([], label="Presets of this browser", elem_id="preset", interactive=True)
        with gr.Row():
            load = gr.Button("Load", size="sm", elem_id="load-preset")
            delete = gr.Button("Delete", size="sm", elem_id="delete-preset")
        name = gr.Textbox(label="Name of a new preset", max_length=60, elem_id="preset-name")
        save = gr.Button("Save the controls", size="sm", elem_id="save-preset")
        file = gr.File(
            label="Or load settings: a .settings.json, or a converted file",
            file_types=[".json", *OUTPUT_SUFFIXES],
            type="filepath",
            elem_id="settings-file",
            height=120,
        )

    @guarded
    def keep(presets: dict, wanted: str, *values: Any) -> tuple[dict, Any]:
        if not wanted.strip():
            raise ConfigError("The preset has no name; give it one.")
        presets = {**presets, wanted.strip(): studio.settings_of(controls.options(values))}
        return presets, gr.update(choices=list(presets), value=wanted.strip())

    @guarded
    def drop(presets: dict, wanted: str | None) -> tuple[dict, Any]:
        presets = {name: each for name, each in presets.items() if name != wanted}
        return presets, gr.update(choices=list(presets), value=None)

    @guarded
    def apply(presets: dict, wanted: str | None) -> list[Any]:
        if wanted not in presets:
            raise ConfigError("No preset is chosen; choose one, or save one first.")
        return controls.values_of(presets[wanted])

    @guarded
    def read(path: str | None) -> list[Any]:
        return controls.values_of(read_settings(path)) if path else [gr.skip()] * len(controls.components)

    save.click(keep, [kept, name, *controls.components], [kept, chosen], **PRIVATE)
    delete.click(drop, [kept, chosen], [kept, chosen], **PRIVATE)
    load.click(apply, [kept, chosen], controls.components, **PRIVATE)
    file.upload(read, file, controls.components, **PRIVATE)
    kept.change(lambda presets: gr.update(choices=list(presets)), kept, chosen, queue=False, **PRIVATE)
