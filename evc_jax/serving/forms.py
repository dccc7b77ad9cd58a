"""The fields of a request, read in memory and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Form, Header, HTTPException, Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from evc_jax.conversion.options import BOUNDS, ConversionOptions
from evc_jax.errors import ConfigError
from evc_jax.serving.recordings import FORMATS

MULTIPART = "multipart/form-data"
MEDIA_TYPES = {"wav": "audio/wav", "flac": "audio/flac"}
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

    async def form(self, **limits: Any) -> FormData:
        """The fields; what limits FastAPI would set are narrower here."""
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

    async def _receive_bounded(self) -> Mapping[str, Any]:
        message = await self._inner()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._max_bytes:
                raise self._too_large()
            self.complete = not message.get("more_body", False)
        return message

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"The upload is larger than {self._max_bytes / 2**20:g} MB; send less at a time.")


def _dial(name: str, text: str) -> Any:
    low, high = BOUNDS[name]
    return Form(ge=low, le=high, allow_inf_nan=False, description=text)


def sound_wishes(
    seed: Annotated[int, Form(ge=0, lt=2**32, description="Of everything random.")] = ConversionOptions.seed,
    vocoder: Annotated[str | None, Form(description="See /info; default: the bundle's better one.")] = None,
    sigma: Annotated[float, _dial("sigma", "WaveGlow's noise.")] = ConversionOptions.sigma,
    denoise: Annotated[float, _dial("denoise", "How much of WaveGlow's hum to take out.")] = ConversionOptions.denoise,
) -> dict[str, Any]:
    """The options that every request may have."""
    return {"seed": seed, "vocoder": vocoder, "sigma": sigma, "denoise": denoise}


def conversion_wishes(
    sound: Annotated[dict[str, Any], Depends(sound_wishes)],
    emotion: Annotated[str | None, Form(description="See /info; default: as it is.")] = None,
    strength: Annotated[
        float, _dial("strength", "0 keeps the source's prosody, 1 is the emotion, more exaggerates.")
    ] = ConversionOptions.strength,
    timbre: Annotated[
        float, _dial("timbre", "0 keeps the source's voice, 1 takes the other.")
    ] = ConversionOptions.timbre,
    pitch_range: Annotated[
        float, _dial("pitch_range", "Width of the melody: 0 is flat, 1 neutral.")
    ] = ConversionOptions.pitch_range,
    pitch_shift: Annotated[float, _dial("pitch_shift", "Semitones up.")] = ConversionOptions.pitch_shift,
    rate: Annotated[float, _dial("rate", "1.2 is faster and shorter by that factor.")] = ConversionOptions.rate,
    flatten: Annotated[float, _dial("flatten", "1 is the reference's fake neutral.")] = ConversionOptions.flatten,
) -> dict[str, Any]:
    """All fields of `ConversionOptions` but the voice."""
    dials = {"strength": strength, "timbre": timbre, "pitch_range": pitch_range, "pitch_shift": pitch_shift}
    return {**sound, **dials, "emotion": emotion, "rate": rate, "flatten": flatten}


def container(
    format: Annotated[str | None, Form(description="wav or flac; default: what Accept names, else wav.")] = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
) -> str:
    """The format of the answer.

    Raises:
      ConfigError: another one is asked for.
    """
    if format is None:
        wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
        return next((name for part in wanted for name, kind in MEDIA_TYPES.items() if part == kind), FORMATS[0])
    if format not in FORMATS:
        raise ConfigError(f"The format is {format[:40]!r}; choose one of {', '.join(FORMATS)}.")
    return format


async def only_known_fields(request: Request) -> None:
    """Raises ConfigError for a field that the route does not have: a misspelt dial would do nothing, silently."""
    known = request.scope["evc.fields"]
    given = [name for name, _ in (await request.form()).multi_items()]
    unknown = sorted(set(given) - known)
    if unknown:
        raise ConfigError(f"There is no field {unknown[0][:40]!r}; choose from {', '.join(sorted(known))}.")
    twice = [name for name in given if given.count(name) > 1 and name != "voice_file"]
    if twice:
        raise ConfigError(f"The field {twice[0]} is given twice; give it once.")
