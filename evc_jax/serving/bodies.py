"""The bodies of requests, forms and JSON objects, read in memory within bounds."""

from __future__ import annotations

import json
from typing import Any

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Message

from evc_jax.errors import one_line
from evc_jax.serving.field_types import MAX_TRACK_BYTES
from evc_jax.serving.fields import JSON, MAX_FILES, MULTIPART, Fields

MAX_FIELDS = 40
# Beside base64, of which a body may be full: an empty list takes 3 bytes in JSON and 64 in memory.
MAX_JSON_VALUES = 100_000


def json_bytes(upload_bytes: int) -> int:
    """The bytes of a JSON body with recordings of so many: base64 is a third larger."""
    return upload_bytes * 4 // 3


class UploadRequest(Request):
    """A request whose body stays in memory, at most `max_bytes` of it, or a third more where it is JSON."""

    def __init__(self, request: Request, max_bytes: int):
        super().__init__(request.scope, self._receive_bounded)
        self._inner = request.receive
        self._media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._max_bytes = json_bytes(max_bytes) if self._media_type == JSON else max_bytes
        self._received = 0
        self.complete = False

    async def given(self, fields: Fields) -> dict[str, Any]:
        """The values that a route's fields have.

        Raises:
          HTTPException: the body is too large, neither a form nor JSON, or damaged.
          ConfigError: a field does not fit.
        """
        if self._media_type not in (MULTIPART, JSON):
            given = self.headers.get("content-type", "")[:40]
            raise HTTPException(415, f"The body is {given!r}; send {MULTIPART}, as curl -F does, or {JSON}.")
        length = self.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._max_bytes:
            raise self._too_large()
        if self._media_type == MULTIPART:
            return fields.from_form(await self._form_items())
        body = bytearray()
        async for chunk in self.stream():
            body += chunk
        return await run_in_threadpool(lambda: fields.from_json(_parsed(body)))

    async def _form_items(self) -> list[tuple[str, str | bytes]]:
        parser = MultiPartParser(
            self.headers, self.stream(), max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_TRACK_BYTES
        )
        parser.spool_max_size = self._max_bytes + 1  # beyond it uploads would go to a temporary file
        try:
            found = (await parser.parse()).multi_items()
        except MultiPartException as error:
            reason = error.message.rstrip(".")
            raise HTTPException(400, f"The form cannot be read ({reason}); send {MULTIPART}.") from error
        return [(name, await value.read() if isinstance(value, UploadFile) else value) for name, value in found]

    async def _receive_bounded(self) -> Message:
        message = await self._inner()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._max_bytes:
                raise self._too_large()
            self.complete = not message.get("more_body", False)
        return message

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"The upload is larger than {self._max_bytes / 2**20:.4g} MB; send less at a time.")


def _parsed(body: bytearray) -> Any:
    try:
        if sum(map(body.count, b",[{")) > MAX_JSON_VALUES:
            raise ValueError(f"it has more than {MAX_JSON_VALUES} commas and brackets")
        return json.loads(body, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        detail = f"The JSON body cannot be read ({one_line(error)}); send an object with the fields of /docs."
        raise HTTPException(400, detail) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same name twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")
