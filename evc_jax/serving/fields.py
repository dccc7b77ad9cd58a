"""The fields of a request, the same in a form and in a JSON body: their schemas, and what their values become.

Nothing that a client sends is taken for the name of a file: recordings and emotion tracks become bytes here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, get_args

from evc_jax.conversion.emotion_track import MAX_STRENGTH
from evc_jax.conversion.options import OPTIONS, Option
from evc_jax.errors import ConfigError
from evc_jax.serving.recordings import Container

MULTIPART, JSON = "multipart/form-data", "application/json"
NamedVoice = Literal["original", "sampled:male", "sampled:female"]
MAX_FILES = 10
MAX_TEXT_CHARS = 10_000
MAX_TRACK_BYTES = 2**20
# What a settings file holds besides options: the server has its own version and bundle.
_ORIGIN = ("evc_jax", "bundle")


class Field:
    """A text; its name, help, default, choices and bounds are those of an `Option`."""

    wanted = "a text"

    def __init__(self, option: Option, name: str = "", many: bool = False, required: bool = False):
        """`name` is an alias; `many` fields are lists in JSON, and may be given several times in a form."""
        self.option, self.many, self.required = option, many, required
        self.name = name or option.name

    def schema(self) -> dict[str, Any]:
        """Of a value in a JSON body."""
        return {"type": "string"} | ({"enum": list(self.option.choices)} if self.option.choices else {})

    def form_schema(self) -> dict[str, Any]:
        """Of a value in a form."""
        return self.schema()

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
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The field {self.name} is {_shown(value)}; give {self.wanted}.") from error


class NumberField(Field):
    """A number, whose bounds `Option.check` enforces with the command line's sentence."""

    @property
    def wanted(self) -> str:  # type: ignore[override]
        """What to give."""
        return self.option.range_text

    def schema(self) -> dict[str, Any]:
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

    def schema(self) -> dict[str, Any]:
        """See `Field`."""
        pair = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
        return {"anyOf": [*self.form_schema()["anyOf"], {"type": "array", "items": pair, "minItems": 1}]}

    def form_schema(self) -> dict[str, Any]:
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

    def schema(self) -> dict[str, Any]:
        """See `Field`."""
        weights = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}, "minProperties": 1}
        return {"anyOf": [{"type": "string"}, weights]}

    def form_schema(self) -> dict[str, Any]:
        """See `Field`."""
        return {"type": "string"}

    def from_json(self, value: Any) -> Any:
        """See `Field`."""
        if isinstance(value, dict) and all(map(_is_number, value.values())):
            return value
        return super().from_json(value)


class RecordingField(Field):
    """The bytes of a recording."""

    wanted = "a recording: an uploaded file in a form (curl -F NAME=@FILE), base64 text in JSON"

    def schema(self) -> dict[str, Any]:
        """See `Field`."""
        return {"type": "string", "contentEncoding": "base64"}

    def form_schema(self) -> dict[str, Any]:
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

    def schema(self) -> dict[str, Any]:
        """See `Field`."""
        strength = {"type": "number", "minimum": 0, "maximum": MAX_STRENGTH}
        mixture = MixtureField(self.option).schema()
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


class Fields:
    """The fields of a route."""

    def __init__(self, fields: Iterable[Field]):
        self._fields = {field.name: field for field in fields}

    def request_body(self) -> dict[str, Any]:
        """What the OpenAPI document says of them."""
        document = {}
        for media_type in (MULTIPART, JSON):
            properties: dict[str, Any] = {} if media_type == MULTIPART else dict.fromkeys(_ORIGIN, _IGNORED)
            for field in self._fields.values():
                schema = field.schema() if media_type == JSON else field.form_schema()
                properties[field.name] = _described(field, schema, lists=media_type == JSON)
            required = [field.name for field in self._fields.values() if field.required]
            document[media_type] = {
                "schema": {
                    "type": "object",
                    "properties": properties,
                    "required": required,
                    "additionalProperties": False,
                }
            }
        return {"requestBody": {"required": True, "content": document}}

    def from_form(self, items: Iterable[tuple[str, str | bytes]]) -> dict[str, Any]:
        """The values by name; raises ConfigError for a field that is unknown, lacking, given twice, or does not fit.

        Empty texts are those of an HTML form's fields that were not filled in.
        """
        found: dict[str, Any] = {}
        for name, value in items:
            field = self._named(name)
            if value == "":
                continue
            if name in found and not field.many:
                raise ConfigError(f"The field {name} is given twice; give it once.")
            read = field.read(field.from_text if isinstance(value, str) else field.from_file, value)
            found[name] = [*found.get(name, []), read] if field.many else read
        return self._complete(found)

    def from_json(self, mapping: Any) -> dict[str, Any]:
        """See `from_form`."""
        if not isinstance(mapping, Mapping):
            raise ConfigError(f"The JSON body is {_shown(mapping)}; send an object with the fields of /docs.")
        found = {}
        for name, value in mapping.items():
            if name in _ORIGIN:
                continue
            field = self._named(name)
            if not field.many:
                found[name] = field.read(field.from_json, value)
                continue
            values = value if isinstance(value, list) else [value]
            if not 1 <= len(values) <= MAX_FILES:
                raise ConfigError(f"The field {name} is a list of {len(values)}; give 1 to {MAX_FILES}.")
            found[name] = [field.read(field.from_json, each) for each in values]
        return self._complete(found)

    def _named(self, name: str) -> Field:
        if name not in self._fields:
            raise ConfigError(f"There is no field {name[:40]!r}; choose from {', '.join(sorted(self._fields))}.")
        return self._fields[name]

    def _complete(self, found: dict[str, Any]) -> dict[str, Any]:
        for field in self._fields.values():
            if field.required and field.name not in found:
                raise ConfigError(f"The field {field.name} is missing; give it as described in /docs.")
        return found


_IGNORED = {"description": "of a settings file; passed over"}


def _described(field: Field, schema: dict[str, Any], lists: bool) -> dict[str, Any]:
    option = field.option
    if field.many:
        several = {"type": "array", "items": schema, "minItems": 1, "maxItems": MAX_FILES}
        schema = {"anyOf": [schema, several]} if lists else several
    text = option.help if field.name == option.name else f"another name of {option.name}"
    return schema | {"description": text} | ({} if option.default is None else {"default": option.default})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    """A value in a message: whatever its size, a few words."""
    if isinstance(value, str):
        return repr(value[:40])
    kinds = {bytes: "a file", dict: "an object", list: "a list", type(None): "null", bool: f"{value}".lower()}
    return kinds.get(type(value)) or repr(value)[:40]


def _option_field(option: Option, name: str) -> Field:
    kinds = {"emotion": MixtureField, "emotion_from": RecordingField, "emotion_track": TrackField}
    kind = CurveField if option.is_curve else Field if option.kind is str else NumberField
    return kinds.get(option.name, kind)(option, name)


def _recording(name: str, text: str = "WAV, FLAC, OGG or MP3", many: bool = False, required: bool = False) -> Field:
    return RecordingField(Option(name, bytes, None, text), many=many, required=required)


_OPTIONS = [_option_field(option, name) for option in OPTIONS for name in (option.name, *option.aliases)]
_FORMAT = Field(Option("format", str, None, "default: what Accept names, else wav", choices=get_args(Container)))
_VOICE = Option("voice", str, None, "whose voice to take, if not that of voice_file", choices=get_args(NamedVoice))
_ASPECTS = Option("aspects", str, "RFU", "letters of R (rhythm), F (pitch), U (timbre)")
CONVERT = Fields(
    [
        _recording("recording", required=True),
        Field(_VOICE, many=True),
        _recording("voice_file", "recordings of the speaker whose voice to take; several are averaged", many=True),
        _FORMAT,
        *_OPTIONS,
    ]
)
TRANSFER = Fields(
    [
        _recording("source", required=True),
        _recording("target", required=True),
        Field(_ASPECTS),
        _FORMAT,
        *(field for field in _OPTIONS if field.option.synthesis),
    ]
)
