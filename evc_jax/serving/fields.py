"""The fields of the routes, the same in a form and in a JSON body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from evc_jax.conversion.options import OPTIONS, Option
from evc_jax.errors import ConfigError
from evc_jax.files import RECORDING_KINDS
from evc_jax.serving.field_types import (
    CurveField,
    Field,
    MixtureField,
    NumberField,
    RecordingField,
    SwitchField,
    TrackField,
    VoiceField,
    shown,
)
from evc_jax.serving.recordings import Container

MULTIPART, JSON = "multipart/form-data", "application/json"
MAX_FILES = 10
# What a settings file holds besides options: the server has its own version and bundle.
_ORIGIN = ("evc_jax", "bundle")


class Fields:
    """The fields of a route."""

    def __init__(self, fields: Iterable[Field]):
        self._fields = {field.name: field for field in fields}

    def request_body(self, known: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        """Their part of the OpenAPI document; `known` has the values that depend on the bundle, by field."""
        document = {}
        for media_type in (MULTIPART, JSON):
            properties: dict[str, Any] = {} if media_type == MULTIPART else dict.fromkeys(_ORIGIN, _IGNORED)
            for field in self._fields.values():
                values = known.get(field.option.name, ())
                schema = field.schema(values) if media_type == JSON else field.form_schema(values)
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
            raise ConfigError(f"The JSON body is {shown(mapping)}; send an object with the fields of /docs.")
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


def _option_field(option: Option, name: str) -> Field:
    """Where Python and the command line take a file's name, the server takes a file."""
    kinds = {"emotion": MixtureField, "emotion_track": TrackField}
    otherwise = Field if option.kind is str else NumberField
    kind = RecordingField if option.is_file else CurveField if option.is_curve else otherwise
    return kinds.get(option.name, kind)(option, name)


def _recording(name: str, text: str = RECORDING_KINDS, many: bool = False, required: bool = False) -> Field:
    return RecordingField(Option(name, bytes, None, text), many=many, required=required)


_OPTIONS = [_option_field(option, name) for option in OPTIONS for name in (option.name, *option.aliases)]
_FORMAT = Field(Option("format", str, None, "default: what Accept names, else wav", choices=get_args(Container)))
_STREAM = Option("stream", bool, False, "answer while converting: WAV of unknown length, ogg or opus")
_VOICE = Option("voice", str, None, "whose voice to take, if not that of voice_file: one of those that /info lists")
_ASPECTS = Option("aspects", str, "RFU", "letters of R (rhythm), F (pitch), U (timbre)")
CONVERT = Fields(
    [
        _recording("recording", required=True),
        VoiceField(_VOICE, many=True),
        _recording("voice_file", "recordings of the speaker whose voice to take; several are averaged", many=True),
        _FORMAT,
        SwitchField(_STREAM),
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
