"""The components of a conversion's options: what `conversion.options` defines, as sliders, buttons and voices."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from evc_jax.conversion import voice_store
from evc_jax.conversion.emotion_track import Curve
from evc_jax.conversion.options import OPTIONS, ConversionOptions, Option, options_from
from evc_jax.conversion.requested_voice import EMBEDDING_VOICE, ORIGINAL_VOICE, SAMPLED_VOICE, SEXES, embedding_text
from evc_jax.conversion.settings import ORIGIN
from evc_jax.errors import ConfigError
from evc_jax.studio.events import PRIVATE
from evc_jax.studio.players import notice_html
from evc_jax.studio.recordings import recording_input
from evc_jax.studio.session import Studio

AS_IT_IS = "as it is"
_OF_SPEECH = ("pitch_shift", "pitch_range", "rate", "effort", "loudness")
_MORE = ("flatten_pitch", "rendering", "vocoder", "sigma", "denoise")
_BY_NAME = {option.name: option for option in OPTIONS}
_OWN, _RECORDING, _NEW, _NAMED, _HELD = "own", "recording", "new", "named", "held"
_VOICE_CHOICES = [
    ("The recording's own", _OWN),
    ("Of another recording", _RECORDING),
    ("A new voice", _NEW),
    ("A named voice", _NAMED),
    ("As chosen elsewhere", _HELD),
]
_DEFAULT = "the bundle's"
_NONE_YET = "None was chosen yet: see Explore, or load settings."
_OF_SETTINGS = "that of the settings"


@dataclass(frozen=True)
class HeldVoice:
    """A voice that was chosen on the map or in loaded settings: its text and its voice, as an option takes it."""

    label: str
    voice: str


class Controls:
    """The components, in the order in which an event handler gets their values."""

    def __init__(self, studio: Studio):
        """Makes the components at this place of the page."""
        self._studio = studio
        self.emotions = studio.bundle.emotions_of(ConversionOptions().emotion_network(studio.bundle))
        self.numbers: dict[str, gr.components.Component] = {}
        with gr.Group():
            self._make_emotion()
        with gr.Group():
            self._make_voice()
        with gr.Accordion("Pitch, rate and loudness", open=True):
            for name in _OF_SPEECH:
                self.numbers[name] = _component(_BY_NAME[name])
        with gr.Accordion("More", open=False):
            for name in _MORE:
                self.numbers[name] = _component(_BY_NAME[name], studio)
            reset = gr.Button("All controls back to their defaults", size="sm")
        reset.click(lambda: self.values_of({}), None, self.components, queue=False, **PRIVATE)

    @property
    def components(self) -> list[Any]:
        """All of them."""
        voice = [self.voice_kind, self.reference, self.sex, self.seed, self.name, self.held, self.held_text]
        return [self.emotion, *self.weights, *self.numbers.values(), *voice]

    @property
    def held_outputs(self) -> list[Any]:
        """What `hold` gives values for."""
        return [self.voice_kind, self.held, self.held_text]

    def hold(self, label: str, voice: str) -> list[Any]:
        """Values of `held_outputs` that choose a voice from outside, such as one of `embedding_text`."""
        return [_HELD, HeldVoice(label, voice), notice_html(f"Chosen: {label}")]

    def _make_emotion(self) -> None:
        choices = [AS_IT_IS, *self.emotions]
        self.emotion = gr.Radio(
            choices, value=AS_IT_IS, label="Emotion", elem_id="emotion", elem_classes="evc-emotions"
        )
        self.numbers["strength"] = _component(_BY_NAME["strength"])
        with gr.Accordion("Mixer", open=False, elem_id="mixer"):
            self.weights = [
                gr.Slider(0, 1, 0, step=0.01, label=name.capitalize(), elem_id=f"mix-{name}") for name in self.emotions
            ]
        self.numbers["keep_timing"] = _component(_BY_NAME["keep_timing"])
        # In the browser, as a press of Convert may follow at once.
        names = json.dumps([AS_IT_IS, *self.emotions])
        to_weights = f"emotion => {names}.slice(1).map(name => name === emotion ? 1 : 0)"
        to_emotion = (
            "(...weights) => { const used = weights.flatMap((weight, i) => weight > 0 ? [i + 1] : []);"
            f" return used.length > 1 ? null : {names}[used[0] ?? 0]; }}"
        )
        self.emotion.input(None, self.emotion, self.weights, js=to_weights, **PRIVATE)
        for slider in self.weights:
            slider.input(None, self.weights, self.emotion, js=to_emotion, **PRIVATE)

    def _emotion_of(self, *weights: float) -> str | None:
        """The button of the mixer's position; None where it is a mixture."""
        used = [name for name, weight in zip(self.emotions, weights, strict=True) if weight]
        return AS_IT_IS if not used else used[0] if len(used) == 1 else None

    def set_mixture(self, weights: Mapping[str, float]) -> list[Any]:
        """Values of the emotion's button and the mixer."""
        values = [round(float(weights.get(name, 0.0)), 3) for name in self.emotions]
        return [self._emotion_of(*values), *values]

    def _make_voice(self) -> None:
        named = sorted({*self._studio.bundle.voices, *voice_store.names()})
        can_draw = self._studio.bundle.has("voicegan")
        hidden = {_NAMED} if not named else set()
        hidden |= set() if can_draw else {_NEW}
        choices = [(text, value) for text, value in _VOICE_CHOICES if value not in hidden]
        self.voice_kind = gr.Radio(choices, value=_OWN, label="Voice", elem_id="voice")
        with gr.Column(visible=False) as of_recording:
            self.reference = recording_input(
                "A recording of the voice, 5 s or more; its owner has to agree", "reference"
            )
        with gr.Row(visible=False) as of_new:
            self.sex = gr.Radio(list(SEXES), value="female", label="Sex", elem_id="sex")
            self.seed = gr.Number(0, label="Seed: another one, another voice", precision=0, minimum=0, elem_id="seed")
            another = gr.Button("Another voice", elem_id="another-voice")
        with gr.Column(visible=False) as of_named:
            self.name = gr.Dropdown(named, value=named[0] if named else None, label="Name", elem_id="voice-name")
        with gr.Column(visible=False) as of_held:
            self.held = gr.State(None)
            self.held_text = gr.HTML(notice_html(_NONE_YET), js_on_load=None)
        self.numbers["timbre"] = _component(_BY_NAME["timbre"])
        groups = {_RECORDING: of_recording, _NEW: of_new, _NAMED: of_named, _HELD: of_held}
        self.voice_kind.change(
            lambda kind: [gr.update(visible=kind == each) for each in groups],
            self.voice_kind,
            list(groups.values()),
            queue=False,
            show_progress="hidden",
            **PRIVATE,
        )
        # The next one in order, so that a voice that was liked is found again.
        another.click(lambda seed: int(seed or 0) + 1, self.seed, self.seed, queue=False, **PRIVATE)

    def options(self, values: tuple[Any, ...], **instead: Any) -> ConversionOptions:
        """What the values of `components` ask for; `instead` are options that come from elsewhere.

        Raises:
          EvcError: a voice is not chosen or cannot be used.
        """
        named = dict(zip(map(id, self.components), values, strict=True))
        given: dict[str, Any] = {}
        weights = {name: named[id(slider)] or 0 for name, slider in zip(self.emotions, self.weights, strict=True)}
        if any(weights.values()):
            given["emotion"] = weights
        for name, component in self.numbers.items():
            value = named[id(component)]
            given[name] = None if value == _DEFAULT else _BY_NAME[name].default if value is None else value
        given["voice"] = self._voice(*(named[id(each)] for each in (self.voice_kind, *self._voice_parts)))
        given["seed"] = int(named[id(self.seed)] or 0)
        if given["voice"] == ORIGINAL_VOICE:
            given["timbre"] = _BY_NAME["timbre"].default  # the slider is of no use then
        return options_from({**given, **instead})

    @property
    def _voice_parts(self) -> list[Any]:
        return [self.reference, self.sex, self.name, self.held]

    def _voice(self, kind: str, reference: str | None, sex: str, name: str | None, held: HeldVoice | None) -> str:
        if kind == _RECORDING:
            if not reference:
                raise ConfigError("There is no recording of the other voice; record or upload one, or choose another.")
            return embedding_text(self._studio.features(reference).embedding)
        if kind == _NEW:
            return SAMPLED_VOICE + sex
        if kind == _NAMED:
            if name in self._studio.bundle.voices:
                return str(name)
            return self._resolved(known_name(name))
        if kind == _HELD:
            if held is None:
                raise ConfigError("No voice was chosen elsewhere yet; choose one in Explore, or another kind of voice.")
            return held.voice
        return ORIGINAL_VOICE

    def _resolved(self, voice: Any, seed: int = 0) -> str:
        """A voice that is not the recording's own as text."""
        embedding = self._studio.converter.voices.resolve(voice, seed)
        assert embedding is not None  # the recording's own voice is no voice to resolve
        return embedding_text(embedding)

    def values_of(self, settings: Mapping[str, Any]) -> list[Any]:
        """The values of `components` that ask for what saved settings do.

        Raises:
          ConfigError: the settings are none, or hold what the page does not have.
        """
        options = options_from(checked(settings, self._studio))
        options.check(self._studio.bundle)
        if options.emotion_track is not None:
            raise ConfigError("These settings have an emotion that changes over time; load them in Timeline.")
        check_constant(options)
        emotion = self.set_mixture(dict(options.emotion) if isinstance(options.emotion, Mapping) else {})
        numbers = [getattr(options, name) for name in self.numbers]
        numbers = [_DEFAULT if value is None else value for value in numbers]
        return [*emotion, *numbers, *self._voice_values(options, settings)]

    def _voice_values(self, options: ConversionOptions, settings: Mapping[str, Any]) -> list[Any]:
        kind, sex, name, held = _OWN, "female", self.name.value, None
        voice = settings.get("voice", ORIGINAL_VOICE)
        voice = voice[0] if isinstance(voice, list) and len(voice) == 1 else voice
        if isinstance(voice, str) and voice in self._studio.bundle.voices:
            kind, name = _NAMED, voice
        elif isinstance(voice, str) and voice.startswith(SAMPLED_VOICE):
            kind, sex = _NEW, voice.removeprefix(SAMPLED_VOICE)
        elif isinstance(voice, str) and voice.startswith(EMBEDDING_VOICE):
            kind, held = _HELD, HeldVoice(_OF_SETTINGS, voice)
        elif voice != ORIGINAL_VOICE:
            kind, held = _HELD, HeldVoice(_OF_SETTINGS, self._resolved(options.voice, options.seed))
        return [kind, None, sex, options.seed, name, held, notice_html(f"Chosen: {held.label}" if held else _NONE_YET)]


def known_name(name: str | None) -> str:
    """The file of a stored voice; raises ConfigError where there is none of that name."""
    file = voice_store.find(name or "")
    if file is None:
        raise ConfigError(f"There is no voice {str(name)[:40]!r}; choose another.")
    return str(file)


def check_constant(options: ConversionOptions) -> None:
    """Raises ConfigError for a strength that changes over time, which the page cannot show."""
    if isinstance(options.strength, Curve):
        raise ConfigError(
            "These settings have a strength that changes over time, which the page does not show; use them with "
            "`evc convert --settings`."
        )


def checked(settings: Mapping[str, Any], studio: Studio) -> dict[str, Any]:
    """The options of saved settings; what a page's visitor sends names no file of this machine.

    Raises:
      ConfigError: the settings are those of a transfer, or name a file.
    """
    if "aspects" in settings:
        raise ConfigError("These are the settings of a transfer; give a file of a conversion.")
    if settings.get("emotion_from"):
        raise ConfigError("These settings take the emotion of a recording; give that recording in the mixer instead.")
    given = {name: value for name, value in settings.items() if name not in (*ORIGIN, "emotion_from")}
    voices = given.get("voice", ORIGINAL_VOICE)
    for voice in voices if isinstance(voices, list) else [voices]:
        known = voice in (ORIGINAL_VOICE, *studio.bundle.voices)
        if not (known or str(voice).startswith((EMBEDDING_VOICE, SAMPLED_VOICE))):
            raise ConfigError(f"The voice {os.path.basename(str(voice))[:40]!r} is not here; upload its recording.")
    if isinstance(given.get("emotion_track"), str):
        raise ConfigError("These settings name a file with the emotions over time; load that file in Timeline.")
    return given


def _component(option: Option, studio: Studio | None = None) -> Any:
    """The component of an option: a slider over its bounds, or a choice."""
    label, text = option.name.replace("_", " ").capitalize(), option.help
    elem_id = option.name.replace("_", "-")
    if option.choices:
        choices = [name for name in option.choices if name != "waveglow" or studio is None or studio.bundle.has(name)]
        return gr.Radio([_DEFAULT, *choices], value=_DEFAULT, label=label, info=text, elem_id=elem_id)
    if option.is_curve:
        text = text.partition(";")[0]
    assert option.low is not None and option.high is not None  # every number has bounds
    step = 0.1 if option.high - option.low > 5 else 0.05
    return gr.Slider(option.low, option.high, option.default, step=step, label=label, info=text, elem_id=elem_id)
