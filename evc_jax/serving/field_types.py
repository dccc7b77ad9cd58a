"""The kinds of fields: the schema of each, and what a form's text, a file or a value of JSON becomes.

Nothing that a client sends is taken for the name of a file: recordings and emotion tracks become bytes here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

from evc_jax.conversion.emotion_track import MAX_STRENGTH
from evc_jax.conversion.options import Option
from evc_jax.conversion.requested_voice import EMBEDDING_VOICE
from evc_jax.errors import ConfigError

MAX_TEXT_CHARS = 10_000
MAX_TRACK_BYTES = 2**20


class Field:
    """A text; its name, help, default, choices and bounds are those of an `Option`."""

    wanted = "a text"

    def __init__(self, option: Option, name: str = "", many: bool = False, required: bool = False):
        """`name` is an alias; `many` fields are lists in JSON, and may be given several times in a form."""
        self.option, self.many, self.required = option, many, required
        self.name = name or option.name

    def schema(self, known: Sequence[str] = ()) -> dict[str, Any]:
        """Of a value in a JSON body; `known` are the values that a server has of those that depend on its bundle."""
        choices = known or self.option.choices
        return {"type": "string"} | ({"enum": list(choices)} if choices else {})

    def form_schema(self, known: Sequence[str] = ()) -> dict[str, Any]:
        """Of a value in a form."""
        return self.schema(known)

    def from_file(self, data: bytes) -> Any:
        """The value of an uploaded file; these three raise ValueError or TypeError for what does not fit."""
        raise TypeError

    def from_text(self, text: str) -> Any:
        """The value of a form's text."""
        if len(text) > MAX_TEXT_CHARS:
            raise ConfigError(f"The field {self.name} has {len(text)} characters; give up to {MAX_TEXT_CHARS}.")
        if self.option.choices:
            self.option.check(text)
        return text

    def from_json(self, value: Any) -> Any:
        """The value of one in a JSON body."""
        if not isinstance(value, str):
            raise TypeError
        return self.from_text(value)

    def read(self, convert: Callable[[Any], Any], value: Any) -> Any:
        """What `convert` makes of a value; raises ConfigError, which names the field, for what does not fit."""
        try:
            return convert(value)
        except ConfigError:
            raise
        except (TypeError, ValueError, KeyError) as error:
            raise ConfigError(f"The field {self.name} is {shown(value)}; give {self.wanted}.") from error


class NumberField(Field):
    """A number, whose bounds `Option.check` enforces with the command line's sentence."""

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """What to give."""
        return self.option.range_text

    def schema(self, known: Sequence[str] = ()) -> dict[str, Any]:
        """See `Field`."""
        kind = "integer" if self.option.kind is int else "number"
        return {"type": kind, "minimum": self.option.low, "maximum": self.option.high}

    def from_text(self, text: str) -> Any:
        """See `Field`."""
        return self.option.kind(text)

    def from_json(self, value: Any) -> Any:
        """See `Field`."""
        if not _is_number(value):
            raise TypeError
        if self.option.kind is int and isinstance(value, float):
            if not value.is_integer():
                raise ValueError
            return int(value)  # to JSON 3.0 is an integer
        return value


class CurveField(NumberField):
    """A number, or one that changes over time."""

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """What to give."""
        return f"{self.option.range_text}, or a curve of them over time, as in 0:0,1.5:1"

    def schema(self, known: Sequence[str] = ()) -> dict[str, Any]:
        """See `Field`."""
        pair = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
        return {"anyOf": [*self.form_schema()["anyOf"], {"type": "array", "items": pair, "minItems": 1}]}

    def form_schema(self, known: Sequence[str] = ()) -> dict[str, Any]:
        """See `Field`."""
        return {"anyOf": [super().schema(), {"type": "string", "pattern": ":"}]}

    def from_text(self, text: str) -> Any:
        """See `Field`."""
        return Field.from_text(self, text) if ":" in text else super().from_text(text)

    def from_json(self, value: Any) -> Any:
        """See `Field`."""
        if isinstance(value, str) and ":" in value:
            return self.from_text(value)
        if not isinstance(value, list):
            return super().from_json(value)
        if not all(isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair)) for pair in value):
            raise TypeError
        return value


class MixtureField(Field):
    """A name, weights as text, or an object of weights."""

    wanted = 'a name, happy=0.6,surprised=0.4, or an object as in {"happy": 0.6, "surprised": 0.4}'

    def schema(self, known: Sequence[str] = ()) -> dict[str, Any]:
        """See `Field`."""
        weight = {"type": "number", "minimum": 0}
        names = {"properties": dict.fromkeys(known, weight), "additionalProperties": False} if known else {}
        weights = {"type": "object", "additionalProperties": weight, "minProperties": 1} | names
        return {"anyOf": [*self.form_schema(known)["anyOf"], weights]}

    def form_schema(self, known: Sequence[str] = ()) -> dict[str, Any]:
        """See `Field`."""
        return {"anyOf": [super().schema(known), {"type": "string", "pattern": "="}]}

    def from_json(self, value: Any) -> Any:
        """See `Field`."""
        if isinstance(value, dict) and all(map(_is_number, value.values())):
            return value
        return super().from_json(value)


class VoiceField(Field):
    """The name of a voice, or an embedding as saved settings hold one."""

    def schema(self, known: Sequence[str] = ()) -> dict[str, Any]:
        """See `Field`."""
        return {"anyOf": [super().schema(known), {"type": "string", "pattern": f"^{EMBEDDING_VOICE}"}]}


class SwitchField(Field):
    """Yes or no."""

    wanted = "true or false"

    def schema(self, known: Sequence[str] = ()) -> dict[str, Any]:
        """See `Field`."""
        return {"type": "boolean"}

    def from_text(self, text: str) -> Any:
        """See `Field`."""
        return {"true": True, "false": False}[text]

    def from_json(self, value: Any) -> Any:
        """See `Field`."""
        if not isinstance(value, bool):
            raise TypeError
        return value


class RecordingField(Field):
    """The bytes of a recording."""

    wanted = "a recording: an uploaded file in a form (curl -F NAME=@FILE), base64 text in JSON"

    def schema(self, known: Sequence[str] = ()) -> dict[str, Any]:
        """See `Field`."""
        return {"type": "string", "contentEncoding": "base64"}

    def form_schema(self, known: Sequence[str] = ()) -> dict[str, Any]:
        """See `Field`."""
        return {"type": "string", "contentMediaType": "application/octet-stream"}

    def from_file(self, data: bytes) -> bytes:
        """See `Field`."""
        return data

    def from_text(self, text: str) -> Any:
        """See `Field`."""
        raise TypeError

    def from_json(self, value: Any) -> Any:
        """See `Field`; base64 may have line breaks, as programs write it."""
        if not isinstance(value, str):
            raise TypeError
        return base64.b64decode("".join(value.split()), validate=True)


class TrackField(RecordingField):
    """The content of an emotion track, or its rows."""

    wanted = "the content of an emotion track, or in JSON a list of its rows"

    def schema(self, known: Sequence[str] = ()) -> dict[str, Any]:
        """See `Field`."""
        strength = {"type": "number", "minimum": 0, "maximum": MAX_STRENGTH}
        mixture = MixtureField(self.option).schema(known)
        row = {"start_s": {"type": "number", "minimum": 0}, "end_s": {"type": "number"}, "emotion": mixture}
        rows = {
            "type": "object",
            "properties": row | {"strength": strength},
            "required": list(row),
            "additionalProperties": False,
        }
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": rows}]}

    def from_file(self, data: bytes) -> bytes:
        """See `Field`."""
        if len(data) > MAX_TRACK_BYTES:
            raise ConfigError(f"The field {self.name} has {len(data)} bytes; give up to {MAX_TRACK_BYTES}.")
        return data

    def from_text(self, text: str) -> bytes:
        """See `Field`."""
        return self.from_file(text.encode("utf-8", "replace"))

    def from_json(self, value: Any) -> Any:
        """See `Field`."""
        if isinstance(value, list):
            return value
        if not isinstance(value, str):
            raise TypeError
        return self.from_text(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """A value in a message: whatever its size, a few words."""
    if isinstance(value, str):
        return repr(value[:40])
    kinds = {bytes: "a file", dict: "an object", list: "a list", type(None): "null", bool: f"{value}".lower()}
    return kinds.get(type(value)) or repr(value)[:40]
