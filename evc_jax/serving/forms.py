"""The fields of a request, read in memory and checked."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any

from fastapi import Form, Header, HTTPException, Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Message

from evc_jax.conversion.options import OPTIONS, Option
from evc_jax.errors import ConfigError
from evc_jax.serving.recordings import Container

MULTIPART = "multipart/form-data"
MEDIA_TYPES: dict[Container, str] = {"wav": "audio/wav", "flac": "audio/flac"}
MAX_FILES = 10
MAX_FIELDS = 40
MAX_FIELD_BYTES = 1000


class UploadRequest(Request):
    """A request whose uploads stay in memory, at most `max_bytes` of them."""

    def __init__(self, request: Request, max_bytes: int):
        super().__init__(request.scope, self._receive_bounded)
        self._inner = request.receive
        self._max_bytes = max_bytes
        self._received = 0
        self._fields: FormData | None = None
        self.complete = False

    # FastAPI awaits the form and never enters it as a context manager.
    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]
        """The fields, within limits narrower than FastAPI's."""
        if self._fields is None:
            self._check_headers()
            parser = MultiPartParser(
                self.headers, self.stream(), max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
            )
            parser.spool_max_size = self._max_bytes + 1  # beyond it uploads would go to a temporary file
            try:
                self._fields = await parser.parse()
            except MultiPartException as error:
                reason = error.message.rstrip(".")
                raise HTTPException(400, f"The form cannot be read ({reason}); send {MULTIPART}.") from error
        return self._fields

    def _check_headers(self) -> None:
        content_type = self.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() != MULTIPART:
            raise HTTPException(415, f"The body is {content_type[:40]!r}; send {MULTIPART}, as curl -F does.")
        length = self.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._max_bytes:
            raise self._too_large()

    async def _receive_bounded(self) -> Message:
        message = await self._inner()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._max_bytes:
                raise self._too_large()
            self.complete = not message.get("more_body", False)
        return message

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"The upload is larger than {self._max_bytes / 2**20:g} MB; send less at a time.")


def options_form(synthesis_only: bool = False) -> Callable[..., Awaitable[dict[str, Any]]]:
    """A dependency that reads `OPTIONS`, or only those of making sound, by name or alias; it returns those given."""

    async def given_options(request: Request, **values: Any) -> dict[str, Any]:
        return {name: values[name] for name in await request.form() if name in values}

    names = [
        (name, option)
        for option in OPTIONS
        if option.synthesis or not synthesis_only
        for name in (option.name, *option.aliases)
    ]
    request = inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request)
    parameters = [request, *(_form_parameter(*each) for each in names)]
    given_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return given_options


def _form_parameter(name: str, option: Option) -> inspect.Parameter:
    """Limits are only documented here: `Option.check` enforces them, with the command line's sentence."""
    text = option.help if name == option.name else f"another name of {option.name}"
    limits: dict[str, Any] = {"enum": list(option.choices)} if option.choices else {}
    if option.kind is not str:
        limits = {"minimum": option.low, "maximum": option.high}
    field: Any = Annotated[option.kind, Form(description=text, json_schema_extra=limits)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=field)


def answer_format(
    format: Annotated[Container | None, Form(description="Default: what Accept names, else wav.")] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> Container:
    """The format of the answer."""
    accepted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    named = (name for part in accepted for name, kind in MEDIA_TYPES.items() if part == kind)
    return next(named, "wav") if format is None else format


async def only_known_fields(request: Request) -> None:
    """Raises ConfigError for a field that the route does not have: a misspelt option would silently do nothing."""
    known = set(_field_names(request.scope["route"].dependant))
    given = [name for name, _ in (await request.form()).multi_items()]
    unknown = sorted(set(given) - known)
    if unknown:
        raise ConfigError(f"There is no field {unknown[0][:40]!r}; choose from {', '.join(sorted(known))}.")
    twice = [name for name in given if given.count(name) > 1 and name != "voice_file"]
    if twice:
        raise ConfigError(f"The field {twice[0]} is given twice; give it once.")


def _field_names(dependant: Any) -> Iterator[str]:
    """The names of the form fields of a route, with those of its dependencies."""
    yield from (parameter.alias for parameter in dependant.body_params)
    for inner in dependant.dependencies:
        yield from _field_names(inner)
