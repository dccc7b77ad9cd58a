"""Timeline: the waveform of the recording, and segments over it in which an emotion applies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from jaxtyping import Float

from evc_jax.audio.formats import OUTPUT_FORMATS
from evc_jax.audio.io import load
from evc_jax.audio.plotting import DISTINCT_COLORS
from evc_jax.conversion.emotion_files import read_track
from evc_jax.conversion.emotion_track import MAX_STRENGTH, EmotionTrack
from evc_jax.conversion.options import OPTIONS, ConversionOptions, options_from
from evc_jax.conversion.settings import read_settings
from evc_jax.errors import ConfigError, EvcError
from evc_jax.files import ASSETS
from evc_jax.studio.controls import Controls, check_constant, checked
from evc_jax.studio.convert_tab import converted
from evc_jax.studio.events import PRIVATE, guarded, without_folders
from evc_jax.studio.session import Studio

_MOST_SEGMENTS = 1000
_FEWEST_PEAKS, _MOST_PEAKS, _PEAKS_PER_S = 200, 6000, 100
_NOTE = (
    "Emotions and their strengths come from the segments, everything else from the controls of Convert: voice, pitch, "
    "rate, timing and so on. Where there is no segment, the speech stays as it is."
)
_FADE = next(option for option in OPTIONS if option.name == "emotion_fade")


def build(studio: Studio, source: gr.Audio, controls: Controls) -> None:
    """The tab."""
    gr.HTML(f"<p class='evc-notice'>{_NOTE}</p>", js_on_load=None)
    timeline = gr.HTML(
        {"rows": []},
        html_template=_asset("timeline.html"),
        css_template=_asset("timeline.css"),
        js_on_load=_asset("timeline.js") + _asset("timeline_edit.js"),
        apply_default_css=False,
        elem_id="timeline",
        emotions=list(controls.emotions),
        colors=[DISTINCT_COLORS[number % len(DISTINCT_COLORS)] for number in range(len(controls.emotions))],
        max_strength=MAX_STRENGTH,
    )
    text = "Load a track: CSV, TextGrid, Audacity's labels, JSON, or saved settings"
    file = gr.UploadButton(text, size="sm", elem_id="track-file")
    assert _FADE.low is not None and _FADE.high is not None  # every number has bounds
    fade = gr.Slider(
        _FADE.low, _FADE.high, _FADE.default, step=0.05, label="Emotion fade", info=_FADE.help, elem_id="emotion-fade"
    )
    button = gr.Button("Convert with these segments", variant="primary", elem_id="convert-timeline")
    result = gr.HTML(elem_id="timeline-result", js_on_load=None, min_height=60)
    picture = gr.HTML(elem_id="timeline-picture", js_on_load=None)

    @guarded
    def show(recording: str | None) -> Iterator[dict[str, Any]]:
        yield {"recording": None, "text": "The recording is being read." if recording else ""}
        if recording:
            yield shown(studio, recording)

    @guarded
    def read(path: str) -> list[Any]:
        return loaded(studio, controls, path)

    @guarded
    def convert(
        recording: str | None, value: Any, fade_s: float | None, *values: Any, progress=gr.Progress()
    ) -> Iterator[tuple[Any, Any]]:
        yield from converted(studio, recording, lambda: options_of(controls, values, value, fade_s), progress)

    source.change(show, source, timeline, show_progress="hidden", **PRIVATE)
    file.upload(read, file, [timeline, fade, *controls.components], show_progress="hidden", **PRIVATE)
    given = [source, timeline, fade, *controls.components]
    button.click(convert, given, [result, picture], show_progress_on=result, **PRIVATE)


def shown(studio: Studio, path: str) -> dict[str, Any]:
    """The timeline's value for a new recording; where that cannot be used, a text says why."""
    try:
        return {"recording": waveform(studio, path)}
    except EvcError as error:
        return {"recording": None, "text": without_folders(str(error))}


def waveform(studio: Studio, path: str) -> dict[str, Any]:
    """What the page shows and plays of a recording: its duration, its peaks, and the path of its sound's URL.

    Raises:
      AudioError: it is too long or cannot be used.
    """
    studio.check_duration(path)
    rate_hz = studio.converter.sample_rate_hz
    audio = load(path, rate_hz)
    url = studio.add_sound(f"{Path(path).stem}_source.wav", audio)
    return {"duration_s": round(len(audio) / rate_hz, 3), "peaks": peaks(audio, rate_hz), "url": url}


def peaks(audio: Float[np.ndarray, " S"], rate_hz: int) -> list[int]:
    """The largest amplitude in each of several hundred equal stretches of time, in percent of the largest of all."""
    columns = int(np.clip(len(audio) / rate_hz * _PEAKS_PER_S, _FEWEST_PEAKS, _MOST_PEAKS))
    columns = min(columns, len(audio))
    highest = np.maximum.reduceat(np.abs(audio), np.arange(columns) * len(audio) // columns)
    return np.rint(100 * highest / max(float(highest.max()), 1e-6)).astype(int).tolist()


def options_of(controls: Controls, values: tuple[Any, ...], value: Any, fade_s: float | None) -> ConversionOptions:
    """What the segments and the controls of Convert ask for.

    Args:
      controls: of Convert.
      values: of its components. The emotion and its strength are left out.
      value: of the timeline, as the page sent it.
      fade_s: the option `emotion_fade`.

    Raises:
      ConfigError: there are no segments, too many, or some that cannot be used.
    """
    rows = value.get("rows") if isinstance(value, dict) else None
    if not rows:
        raise ConfigError("There is no segment; drag over the waveform to make one, or load a track.")
    # Rows, and nothing that an option would take for a file's name.
    track = _not_too_many(EmotionTrack.from_rows(rows))
    fade_s = _FADE.default if fade_s is None else fade_s
    return controls.options(values, emotion=None, strength=1.0, emotion_track=track, emotion_fade=fade_s)


def loaded(studio: Studio, controls: Controls, path: str) -> list[Any]:
    """Values of the timeline, the fade and the controls of Convert, from a track or from saved settings.

    Raises:
      EvcError: the file holds no track, or one that cannot be used here.
    """
    file = Path(path)
    is_sound = file.suffix.lower() in OUTPUT_FORMATS
    if not is_sound and not file.read_bytes().removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        track = _not_too_many(read_track(file.read_bytes(), file.name))
        ConversionOptions(emotion_track=track).check(studio.bundle)
        return [{"rows": rows_of(track)}, gr.skip(), *[gr.skip()] * len(controls.components)]
    given = checked(read_settings(file), studio)
    options = options_from(given)
    if options.emotion_track is None:
        raise ConfigError("These settings have no emotion that changes over time; load them in Convert.")
    check_constant(options)
    options.check(studio.bundle)
    others = {name: value for name, value in given.items() if name not in ("emotion_track", "emotion_fade", "strength")}
    rows = rows_of(_not_too_many(options.emotion_track), options.strength)
    return [{"rows": rows}, options.emotion_fade, *controls.values_of(others)]


def rows_of(track: EmotionTrack, strength: Any = 1.0) -> list[dict[str, Any]]:
    """A track as the page shows it: the emotion of each row is a text, such as "happy=0.6,surprised=0.4"."""
    rows = EmotionTrack(tuple(replace(span, strength=span.strength * strength) for span in track.spans)).to_rows()
    return [{**row, "emotion": _text(row["emotion"])} for row in rows]


def _text(mixture: dict[str, float]) -> str:
    return next(iter(mixture)) if len(mixture) == 1 else ",".join(f"{name}={w!r}" for name, w in mixture.items())


def _not_too_many(track: EmotionTrack) -> EmotionTrack:
    if len(track.spans) > _MOST_SEGMENTS:
        raise ConfigError(f"The emotion track has {len(track.spans)} segments; the page takes up to {_MOST_SEGMENTS}.")
    return track


def _asset(name: str) -> str:
    return (ASSETS / "studio" / name).read_text(encoding="utf-8")
