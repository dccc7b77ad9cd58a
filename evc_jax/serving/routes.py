"""The routes that compute: a place in the queue, a bounded upload, a deadline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NoReturn

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from evc_jax.serving.admission import MAX_RETRY_AFTER_S, ExpiredError
from evc_jax.serving.answers import StreamedAnswer, while_connected
from evc_jax.serving.bodies import UploadRequest
from evc_jax.serving.fields import CONVERT, TRANSFER, Fields
from evc_jax.serving.logs import CURRENT
from evc_jax.serving.recordings import MEDIA_TYPES, Container
from evc_jax.serving.service import Service

DRAIN_S = 5
STARTING_S = 5  # Retry-After during warm-up


class Problem(BaseModel):
    """What went wrong, in one sentence."""

    detail: str


_PROBLEMS = {
    400: "The form or the JSON body cannot be read.",
    408: "The upload took too long.",
    413: "The upload is too large, or a recording too long.",
    415: "The body is neither a multipart form nor JSON.",
    422: "A recording or a field cannot be used.",
    429: "The queue is full; Retry-After gives the seconds to wait.",
    503: "The server warms up or stops; Retry-After gives the seconds to wait.",
    504: "The conversion took too long.",
}
RETRY_AFTER = {
    "Retry-After": {
        "description": "seconds after which to ask again",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_RETRY_AFTER_S},
    }
}


def _responses() -> dict[int | str, dict[str, Any]]:
    kinds = {kind.partition(";")[0] for kind in MEDIA_TYPES.values()}
    sound = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted(kinds)}
    answers: dict[int | str, dict[str, Any]] = {200: {"content": sound, "description": "The recording."}}
    for status, text in _PROBLEMS.items():
        answers[status] = {"model": Problem, "description": text}
        if status in (429, 503):
            answers[status]["headers"] = RETRY_AFTER
    return answers


class ComputingRoute(APIRoute):
    """A route whose requests wait in the queue; a full one is answered before the body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            service: Service = request.app.state.service
            if service.status != "ready":
                await _refuse(request, 503, f"The server is {service.status}; try again later.", STARTING_S)
            ticket = service.admission.enter()
            if ticket is None:
                wait_s = service.admission.retry_after_s()
                await _refuse(request, 429, "The queue is full; try again later.", wait_s)
            if record := CURRENT.get():
                record.queue = service.admission.admitted
            upload = UploadRequest(request, service.settings.max_upload_bytes)
            request.scope["evc.ticket"] = ticket
            response = None
            try:
                async with asyncio.timeout(service.admission.timeout_s):
                    response = await handle(upload)
                    return response
            except (TimeoutError, ExpiredError) as error:
                raise _too_late(upload.complete, service.admission.timeout_s) from error
            except HTTPException as error:
                if error.status_code == 413:
                    await _drain(request, service.settings.max_upload_bytes)
                raise
            finally:
                if not isinstance(response, StreamedAnswer):  # which keeps the place until its end
                    ticket.close()

        return answer


async def _refuse(request: Request, status: int, detail: str, wait_s: int) -> NoReturn:
    """Raises HTTPException once the client has sent its body, or enough of it."""
    await _drain(request, request.app.state.service.settings.max_upload_bytes)
    raise HTTPException(status, detail, {"Retry-After": str(wait_s)})


def _too_late(arrived: bool, timeout_s: float) -> HTTPException:
    if arrived:
        return HTTPException(504, f"The answer was not ready within {timeout_s:g} s; send a shorter recording.")
    return HTTPException(408, f"The upload did not arrive within {timeout_s:g} s; send it faster or less of it.")


async def _drain(request: Request, max_bytes: int) -> None:
    """Reads on for a while: many clients read the answer only after they have sent everything."""
    if "expect" in request.headers:  # the client waits for permission to send
        return
    left = max_bytes
    with contextlib.suppress(TimeoutError, RuntimeError):
        async with asyncio.timeout(DRAIN_S):
            while left > 0:
                message = await request.receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def make_router(known: Mapping[str, Sequence[str]]) -> APIRouter:
    """The routes; `known` has the values that depend on the bundle, by field, for their description."""
    router = APIRouter(route_class=ComputingRoute, responses=_responses(), default_response_class=Response)
    for route, fields, summary in (
        (convert, CONVERT, "Convert a recording"),
        (transfer, TRANSFER, "Take rhythm, pitch or timbre from another recording of the same sentence"),
    ):
        extra = fields.request_body(known)
        router.add_api_route(f"/{route.__name__}", route, methods=["POST"], summary=summary, openapi_extra=extra)
    return router


async def convert(request: UploadRequest) -> Response:
    """Another emotion, another voice: see the fields; with none of them the source is rebuilt.

    A form, or the same fields as a JSON object: recordings are then base64 text, and the body may be a third larger.
    """
    return await _compute(request, CONVERT, Service.convert)


async def transfer(request: UploadRequest) -> Response:
    """What `aspects` names comes from the target, the rest from the source. A form or JSON, as for /convert."""
    return await _compute(request, TRANSFER, Service.transfer)


async def _compute(request: UploadRequest, fields: Fields, work: Callable[..., bytes]) -> Response:
    """The answer of a method of `Service` to what is given."""
    service: Service = request.app.state.service
    given = await request.given(fields)
    container = given.pop("format", None) or _accepted(request.headers.get("accept", ""))
    ticket = request.scope["evc.ticket"]
    if given.pop("stream", False):
        return await StreamedAnswer.begin(service, ticket, given, container)
    sound = await while_connected(request, ticket, service.compute(ticket, work, service, given, container))
    return Response(sound, media_type=MEDIA_TYPES[container], headers={"Cache-Control": "no-store"})


def _accepted(accept: str) -> Container:
    """The format that an Accept header names first."""
    accepted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return next((name for part in accepted for name, kind in MEDIA_TYPES.items() if part == kind), "wav")
