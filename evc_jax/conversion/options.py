"""What a conversion can be asked for: every option with its bounds and its help, defined once.

The command line, the server and `Converter.convert` derive theirs from `ConversionOptions`. Imports nothing slow.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from evc_jax.conversion.emotion_files import read_track
from evc_jax.conversion.emotion_track import MAX_STRENGTH, Curve, EmotionTrack, normalized, parse_weights
from evc_jax.conversion.requested_voice import (
    ORIGINAL_VOICE,
    SAMPLED_VOICE,
    Voice,
    check_known,
    check_types,
    check_voices,
    embedding_of,
)
from evc_jax.errors import BundleError, ConfigError, meant
from evc_jax.files import printable
from evc_jax.pretrained.bundle import Bundle
from evc_jax.pretrained.description import RENDERINGS
from evc_jax.vocoders import DEFAULT_SIGMA, VOCODERS

EMOTION_WAYS = ("emotion", "emotion_from", "emotion_track")  # of which one may be given
MAX_SEED = 2**32 - 1


def _option(default: Any, text: str, *, synthesis: bool = False, **limits: Any) -> Any:
    """A field of `ConversionOptions`; `limits` are those of `Option`."""
    return field(default=default, metadata={"help": text, "synthesis": synthesis, **limits})


@dataclass(frozen=True, eq=False)
class ConversionOptions:
    """What a conversion should do; the defaults rebuild the source. The options do not depend on each other.

    `voice` is "original", "sampled:female", "sampled:male", a file, a folder, a name, an array, a text of
    `requested_voice.embedding_text`, or a sequence of these to average: see `voices.Voices.resolve`. The emotion is
    given in one of three ways:

    - `emotion`: a name, weights as in "happy=0.6,surprised=0.4", or a mapping; kept as a mapping whose weights add up
      to 1.
    - `emotion_from`: a recording with the emotion, of another sentence and speaker; a file, or samples [S] at the
      bundle's rate.
    - `emotion_track`: emotions over time: a file (see `emotion_files.read_track`), its content as bytes, rows (see
      `EmotionTrack.from_rows`), or an `EmotionTrack`, which it is kept as.

    `strength` is a number, or a curve over time: "0:0,1.5:1", pairs, or a `Curve`. Times are seconds of the source. The
    other fields carry their own description: see `OPTIONS`.

    Raises:
      ConfigError: a value outside its bounds, an unknown vocoder or voice; the message says what to give.
    """

    emotion: str | Mapping[str, float] | None = _option(
        None, "one of the bundle's emotions, or weights of several, as in happy=0.6,surprised=0.4; default: as it is"
    )
    emotion_from: Any = _option(
        None, "a recording whose emotion to take, of any sentence, speaker and language", is_file=True
    )
    emotion_track: Any = _option(
        None,
        "emotions over time: a CSV table (start_s, end_s, emotion, strength), a TextGrid, or Audacity's labels",
        is_file=True,
    )
    emotion_fade: float = _option(0.3, "seconds that a change of a track takes, around its time", low=0, high=5)
    strength: float | str | Curve | Sequence = _option(
        1.0,
        "of the emotion; 0: as in the source, 1: the emotion, more exaggerates; or over time, as in 0:0,1.5:1",
        low=0,
        high=MAX_STRENGTH,
        is_curve=True,
    )
    voice: Voice | Sequence[Voice] = ORIGINAL_VOICE
    timbre: float = _option(1.0, "0: the source's voice, 1: that of the voice option, else a mixture", low=0, high=1)
    pitch_range: float = _option(1.0, "width of the melody: 0 is flat, 1 neutral", low=0, high=3)
    pitch_shift: float = _option(0.0, "semitones up; 0 is neutral", low=-12, high=12)
    rate: float = _option(1.0, "1 is neutral, 1.2 is faster and shorter by that factor", low=0.5, high=2)
    keep_timing: float = _option(0.0, "1 keeps the source's timing whatever the emotion", low=0, high=1, bare=1.0)
    loudness: float = _option(
        0.0, "decibels above the source's level; a file that would clip is scaled", low=-24, high=24
    )
    effort: float = _option(0.0, "vocal effort at the same level: -1 soft, 1 shouted, 0 neutral", low=-1, high=1)
    # A tenth of the pitch code is left.
    flatten_pitch: float = _option(0.0, "1 is the reference's fake neutral", low=0, high=1, aliases=("flatten",))
    seed: int = _option(0, "of everything random", synthesis=True, low=0, high=MAX_SEED)
    rendering: str | None = _option(
        None,
        "source: the recording itself, changed; decoder: sound of the decoder's mel, also where a vocoder is given; "
        "default: the bundle's better one",
        synthesis=True,
        choices=RENDERINGS,
    )
    vocoder: str | None = _option(None, "default: the bundle's better one", synthesis=True, choices=VOCODERS)
    sigma: float = _option(DEFAULT_SIGMA, "WaveGlow's noise, best between 0.6 and 1", synthesis=True, low=0, high=2)
    denoise: float = _option(0.0, "how much of WaveGlow's hum to take out, such as 0.1", synthesis=True, low=0, high=1)

    def __post_init__(self):
        self._read_emotion()
        check_types(self.voice)
        read = tuple(map(embedding_of, self.voices))
        object.__setattr__(self, "voice", read[0] if len(read) == 1 else read)
        for option in OPTIONS:
            option.check(value := getattr(self, option.name))
            if option.kind is not str and not isinstance(value, Curve):  # 2 and 2.0 are saved alike
                object.__setattr__(self, option.name, option.kind(value))
        check_voices(self.voices, self.timbre)

    def _read_emotion(self) -> None:
        """Brings the emotion and its strength to one form; an emotion that is given twice is refused."""
        given = [name for name in EMOTION_WAYS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"Both {given[0]} and {given[1]} are given; give one of them.")
        if self.emotion is not None:
            object.__setattr__(self, "emotion", normalized(parse_weights(self.emotion)))
        track = self.emotion_track
        if isinstance(track, str | os.PathLike | bytes):
            track = read_track(track)
        elif track is not None and not isinstance(track, EmotionTrack):
            track = EmotionTrack.from_rows(track)
        object.__setattr__(self, "emotion_track", track)
        if isinstance(self.strength, str | Sequence):
            object.__setattr__(self, "strength", Curve.parse(self.strength))
        if isinstance(self.emotion_from, str | os.PathLike) and not Path(self.emotion_from).is_file():
            raise ConfigError(f"There is no recording {printable(self.emotion_from)} to take an emotion from.")

    @property
    def track(self) -> EmotionTrack | None:
        """The emotion over time, its own strength not included; None where the recording stays as it is.

        `emotion_from` is not in it: see `Converter.resolve`.
        """
        assert not isinstance(self.emotion, str)  # see `_read_emotion`
        return self.emotion_track if self.emotion is None else EmotionTrack.constant(self.emotion)

    @property
    def is_emotional(self) -> bool:
        """Whether an emotion is asked for, with a strength above 0 at some time."""
        strengths = self.strength.values if isinstance(self.strength, Curve) else (self.strength,)
        return (self.track is not None or self.emotion_from is not None) and any(strengths)

    def within(self, duration_s: float) -> ConversionOptions:
        """The options for a recording of so many seconds; raises ConfigError where an emotion ends after it."""
        if self.emotion_track is None:
            return self
        return replace(self, emotion_track=self.emotion_track.within(duration_s))

    def emotion_weights(self, times_s: np.ndarray, emotions: Sequence[str]) -> np.ndarray | None:
        """The emotion at times [T]: see `EmotionTrack.weights`, with all strengths; None where there is none at all."""
        if self.track is None or not self.is_emotional:
            return None
        strength: Any = self.strength.at(times_s)[:, None] if isinstance(self.strength, Curve) else self.strength
        weights = self.track.weights(times_s, emotions, self.emotion_fade) * np.float32(strength)
        excess = weights.sum(axis=1, keepdims=True) / MAX_STRENGTH
        weights = weights / np.maximum(excess, 1)
        return weights if weights.any() else None

    @property
    def voices(self) -> tuple[Voice, ...]:
        """The requested voices; more than one are averaged."""
        return (self.voice,) if isinstance(self.voice, str | os.PathLike | np.ndarray) else tuple(self.voice)

    def rendering_of(self, bundle: Bundle) -> str:
        """How the bundle makes the sound: as asked for, by the decoder where a vocoder is given, else as it does."""
        return self.rendering or ("decoder" if self.vocoder else bundle.default_rendering)

    def emotion_network(self, bundle: Bundle) -> str:
        """The network that converts emotions: the prosody network, or CodeGAN by the decoder and in older bundles."""
        explicit = self.rendering_of(bundle) == "source" and bundle.has("prosody")
        return "prosody" if explicit else "codegan"

    def check(self, bundle: Bundle) -> None:
        """Raises BundleError unless the bundle has the networks for them; reads no parameters.

        ConfigError for a voice that is not known.
        """
        for voice in self.voices:
            check_known(voice, bundle)
        if self.track is not None or self.emotion_from is not None:
            network = self.emotion_network(bundle)
            bundle.require(network)
            for name in self.track.emotions if self.track else ():
                if name not in bundle.emotions_of(network):
                    known = ", ".join(bundle.emotions_of(network))
                    here = f" by {network}" if name in bundle.emotions else ""
                    close = meant(name[:40], bundle.emotions_of(network))
                    raise BundleError(f"There is no emotion {name[:40]!r}{here}{close}; choose one of {known}.")
        decoded = self.rendering_of(bundle) == "decoder"
        if (self.vocoder or (decoded and bundle.default_vocoder)) == "waveglow":
            bundle.require("waveglow")
        if any(isinstance(voice, str) and voice.startswith(SAMPLED_VOICE) for voice in self.voices):
            bundle.require("voicegan")


@dataclass(frozen=True)
class Option:
    """One option besides the voice.

    Attributes:
      name: the field of `ConversionOptions`.
      kind: float, int or str.
      default: its value where it is not given.
      help: what it does, for `--help` and the server's documentation.
      low, high: bounds of a number.
      choices: of a string, where they do not depend on the bundle.
      synthesis: whether it belongs to the making of sound, which a transfer has, too.
      bare: the value where the command line gives the name alone; None where it has to give one.
      is_curve: whether it may also be a `Curve` over time.
      is_file: whether a file is given, which a request to the server uploads.
      aliases: other names that the command line, the server and `Converter.convert` take.
    """

    name: str
    kind: type
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    synthesis: bool = False
    bare: float | None = None
    is_curve: bool = False
    is_file: bool = False
    aliases: tuple[str, ...] = ()

    def check(self, value: Any) -> None:
        """Raises ConfigError for a value that the option cannot have."""
        words = self.name.replace("_", " ")
        if self.kind is str:
            if self.is_file and not isinstance(value, str | os.PathLike | bytes | np.ndarray | EmotionTrack | None):
                raise ConfigError(f"The {words} is {str(value)[:40]!r}; give a file.")
            if self.choices and value is not None and str(value) not in self.choices:
                raise ConfigError(f"There is no {words} {value!r}; choose one of {', '.join(self.choices)}.")
            return
        if self.is_curve and isinstance(value, Curve):
            for each in value.values:
                self.check(each)
            return
        assert self.low is not None and self.high is not None  # every number has bounds
        is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not (is_number and self.low <= value <= self.high and self.kind(value) == value):
            shown = f"{value:g}" if isinstance(value, float) else f"{value!r}"[:40]
            raise ConfigError(f"The {words} is {shown}; give {self.range_text}.")

    @property
    def range_text(self) -> str:
        """The bounds of a number in words."""
        low, high = (f"{bound:g}" if self.kind is float else str(bound) for bound in (self.low, self.high))
        return f"{'a number' if self.kind is float else 'an integer'} from {low} to {high}"


def _kind(annotation: str) -> type:
    return {"float": float, "int": int}.get(annotation.partition(" ")[0], str)


# All options but the voice, which is no number and no word.
OPTIONS = tuple(
    Option(entry.name, _kind(str(entry.type)), entry.default, **entry.metadata)
    for entry in dataclasses.fields(ConversionOptions)
    if entry.metadata
)


def options_from(given: dict[str, Any], synthesis_only: bool = False) -> ConversionOptions:
    """Options by name or alias.

    Args:
      given: the voice, and what `OPTIONS` names.
      synthesis_only: whether only the options of making sound are allowed, as in a transfer.

    Raises:
      ConfigError: an unknown name, one that is given twice under two names, or a value that is not allowed.
    """
    known = {
        name: option.name
        for option in OPTIONS
        for name in (option.name, *option.aliases)
        if option.synthesis or not synthesis_only
    }
    if not synthesis_only:
        known["voice"] = "voice"
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(
                f"There is no option {name!r}{meant(name, known)}; choose from {', '.join(sorted(known))}."
            )
        if known[name] in values:
            raise ConfigError(f"{known[name]} is given twice, once as {name}; give it once.")
        values[known[name]] = value
    seed = values.get("seed")
    if isinstance(seed, float) and seed.is_integer():  # as JSON may have it
        values["seed"] = int(seed)
    return ConversionOptions(**values)
