"""The routes that compute: a place in the queue, a bounded upload, a deadline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from evc_jax.conversion.options import ORIGINAL_VOICE
from evc_jax.errors import ConfigError
from evc_jax.serving.admission import RETRY_AFTER_S, ExpiredError
from evc_jax.serving.forms import MEDIA_TYPES, UploadRequest, answer_format, only_known_fields, options_form
from evc_jax.serving.recordings import Container
from evc_jax.serving.service import NamedVoice, Service

DRAIN_S = 5


class Problem(BaseModel):
    """What went wrong, in one sentence."""

    detail: str


_PROBLEMS = {
    400: "The form cannot be read.",
    408: "The upload took too long.",
    413: "The upload is too large, or a recording too long.",
    415: "The body is no multipart form.",
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


_Container = Annotated[Container, Depends(answer_format)]
_Recording = Annotated[bytes, File(description="WAV, FLAC, OGG or MP3.")]

router = APIRouter(
    route_class=ComputingRoute,
    dependencies=[Depends(only_known_fields)],
    responses=_responses(),
    default_response_class=Response,
)


@router.post("/convert", summary="Convert a recording")
async def convert(
    request: Request,
    recording: _Recording,
    given: Annotated[dict[str, Any], Depends(options_form())],
    container: _Container,
    voice: Annotated[NamedVoice | None, Form(description="Whose voice to take, if not that of voice_file.")] = None,
    voice_file: Annotated[
        list[bytes] | None, File(description="Recordings of the speaker whose voice to take; several are averaged.")
    ] = None,
) -> Response:
    """Another emotion, another voice: see the fields; with none of them the source is rebuilt."""
    if voice is not None and voice_file:
        raise ConfigError("Both voice and voice_file are given; give one of them.")
    given["voice"] = voice or ORIGINAL_VOICE
    return await _compute(request, Service.convert, recording, voice_file or [], given, container)


@router.post("/transfer", summary="Take rhythm, pitch or timbre from another recording of the same sentence")
async def transfer(
    request: Request,
    source: _Recording,
    target: _Recording,
    given: Annotated[dict[str, Any], Depends(options_form(synthesis_only=True))],
    container: _Container,
    aspects: Annotated[str, Form(description="Letters of R (rhythm), F (pitch), U (timbre).")] = "RFU",
) -> Response:
    """What `aspects` names comes from the target, the rest from the source."""
    return await _compute(request, Service.transfer, source, target, aspects, given, container)


async def _compute(request: Request, work: Callable[..., bytes], *arguments: Any) -> Response:
    """The answer of a method of `Service`, whose last argument is the format."""
    service: Service = request.app.state.service
    sound = await service.compute(request.scope["evc.ticket"], work, service, *arguments)
    return Response(sound, media_type=MEDIA_TYPES[arguments[-1]], headers={"Cache-Control": "no-store"})
