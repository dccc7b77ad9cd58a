"""The routes that compute: a place in the queue, a bounded upload, a deadline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from evc_jax.serving.admission import RETRY_AFTER_S, ExpiredError
from evc_jax.serving.bodies import UploadRequest
from evc_jax.serving.fields import CONVERT, TRANSFER, Fields
from evc_jax.serving.recordings import Container
from evc_jax.serving.service import Service

DRAIN_S = 5
MEDIA_TYPES: dict[Container, str] = {"wav": "audio/wav", "flac": "audio/flac"}


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
    504: "The conversion took too long.",
}


def _responses() -> dict[int | str, dict[str, Any]]:
    sound = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()}
    answers: dict[int | str, dict[str, Any]] = {200: {"content": sound, "description": "The recording."}}
    return answers | {status: {"model": Problem, "description": text} for status, text in _PROBLEMS.items()}


class ComputingRoute(APIRoute):
    """A route whose requests wait in the queue; a full one is answered before the body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See `APIRoute`."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            service: Service = request.app.state.service
            ticket = service.admission.enter()
            if ticket is None:
                await _drain(request, service.settings.max_upload_bytes)
                raise HTTPException(429, "The queue is full; try again later.", {"Retry-After": str(RETRY_AFTER_S)})
            upload = UploadRequest(request, service.settings.max_upload_bytes)
            request.scope["evc.ticket"] = ticket
            try:
                async with asyncio.timeout(service.admission.timeout_s):
                    return await handle(upload)
            except (TimeoutError, ExpiredError) as error:
                raise _too_late(upload.complete, service.admission.timeout_s) from error
            except HTTPException as error:
                if error.status_code == 413:
                    await _drain(request, service.settings.max_upload_bytes)
                raise
            finally:
                ticket.close()

        return answer


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


router = APIRouter(route_class=ComputingRoute, responses=_responses(), default_response_class=Response)


@router.post("/convert", summary="Convert a recording", openapi_extra=CONVERT.request_body())
async def convert(request: UploadRequest) -> Response:
    """Another emotion, another voice: see the fields; with none of them the source is rebuilt.

    A form, or the same fields as a JSON object: recordings are then base64 text, and the body may be a third larger.
    """
    return await _compute(request, CONVERT, Service.convert)


@router.post(
    "/transfer",
    summary="Take rhythm, pitch or timbre from another recording of the same sentence",
    openapi_extra=TRANSFER.request_body(),
)
async def transfer(request: UploadRequest) -> Response:
    """What `aspects` names comes from the target, the rest from the source. A form or JSON, as for /convert."""
    return await _compute(request, TRANSFER, Service.transfer)


async def _compute(request: UploadRequest, fields: Fields, work: Callable[..., bytes]) -> Response:
    """The answer of a method of `Service` to what is given."""
    service: Service = request.app.state.service
    given = await request.given(fields)
    container = given.pop("format", None) or _accepted(request.headers.get("accept", ""))
    sound = await service.compute(request.scope["evc.ticket"], work, service, given, container)
    return Response(sound, media_type=MEDIA_TYPES[container], headers={"Cache-Control": "no-store"})


def _accepted(accept: str) -> Container:
    """The format that an Accept header names first."""
    accepted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return next((name for part in accepted for name, kind in MEDIA_TYPES.items() if part == kind), "wav")
