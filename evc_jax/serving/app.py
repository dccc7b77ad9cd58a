"""The HTTP application around a `Service`."""

from __future__ import annotations

from typing import Any, get_args

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.middleware.cors import CORSMiddleware

from evc_jax import __version__
from evc_jax.conversion.aspects import ASPECT_NAMES
from evc_jax.conversion.options import OPTIONS
from evc_jax.errors import EvcError
from evc_jax.pretrained.description import RENDERINGS
from evc_jax.pretrained.licence import CODE_LICENCE, meaning
from evc_jax.serving import pages
from evc_jax.serving.bodies import json_bytes
from evc_jax.serving.every_answer import REQUEST_ID, EveryAnswer
from evc_jax.serving.recordings import Container, TooLongError
from evc_jax.serving.routes import RETRY_AFTER, STARTING_S, make_router
from evc_jax.serving.service import Service
from evc_jax.serving.streams import STREAMED

MAX_DETAIL_CHARS = 1000
_DESCRIPTION = """\
Emotional voice cloning: the same sentence with another emotion and another voice. Uploads and answers exist in memory
only, while their request is processed. Errors are `{"detail": "one sentence that says what to do"}`. Every answer has
the header X-Request-ID, which the server's log has, too: a request's own, or a new one."""


def make_app(service: Service) -> FastAPI:
    """The application; the caller closes the service."""
    settings = service.settings
    app = FastAPI(
        title="evc_jax",
        version=__version__,
        description=_DESCRIPTION,
        license_info={"name": CODE_LICENCE, "identifier": CODE_LICENCE},
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.service = service
    # The emotions of a row of a track are those of `emotion`.
    emotions = service.converter.emotions
    known = {"emotion": emotions, "emotion_track": emotions, "voice": service.voices, "vocoder": service.vocoders}
    app.include_router(make_router(known))
    app.include_router(_operators_routes())
    app.include_router(pages.router)
    app.add_exception_handler(EvcError, _refuse)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["*"],
            expose_headers=[REQUEST_ID, "Retry-After"],
        )
    app.add_middleware(EveryAnswer, service=service)
    return app


def _operators_routes() -> APIRouter:
    router = APIRouter()
    not_ready = {"description": "Warming up or stopping.", "headers": RETRY_AFTER}
    router.add_api_route("/health", health, methods=["GET"], responses={503: not_ready})
    router.add_api_route("/health/live", live, methods=["GET"])
    router.add_api_route("/info", info, methods=["GET"])
    text = {"content": {"text/plain": {}}, "description": "Prometheus's text format."}
    router.add_api_route("/metrics", metrics, methods=["GET"], response_class=Response, responses={200: text})
    return router


async def health(request: Request) -> JSONResponse:
    """Whether requests are taken: 200 ready, 503 warming up or stopping."""
    status = request.app.state.service.status
    if status == "ready":
        return JSONResponse({"status": status})
    return JSONResponse({"status": status}, 503, headers={"Retry-After": str(STARTING_S)})


async def live() -> dict[str, str]:
    """Whether the process answers at all."""
    return {"status": "live"}


async def info(request: Request) -> dict[str, Any]:
    """What can be requested: emotions, options and their bounds, voices, limits."""
    service: Service = request.app.state.service
    bundle, settings = service.bundle, service.settings
    return {
        "version": __version__,
        "emotions": service.converter.emotions,
        "options": {
            option.name: {
                "help": option.help,
                "default": option.default,
                "lowest": option.low,
                "highest": option.high,
                "over_time": option.is_curve,
                "upload": option.is_file,
            }
            for option in OPTIONS
        },
        "voices": service.voices,
        "aspects": ASPECT_NAMES,
        "vocoders": service.vocoders,
        "default_vocoder": bundle.default_vocoder,
        "renderings": RENDERINGS,
        "default_rendering": bundle.default_rendering,
        "formats": get_args(Container),
        "streamed_formats": STREAMED,
        "sample_rate_hz": service.converter.sample_rate_hz,
        "networks": list(bundle.description["networks"]),
        "code_licence": CODE_LICENCE,
        "licence": bundle.licence,
        "licence_means": meaning(bundle.licence),
        "limits": {
            "upload_bytes": settings.max_upload_bytes,
            "json_bytes": json_bytes(settings.max_upload_bytes),
            "recording_seconds": settings.max_seconds,
            "requests": settings.queue,
            "answer_seconds": settings.timeout_s,
        },
    }


async def metrics(request: Request) -> Response:
    """Counters for Prometheus."""
    return Response(request.app.state.service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    # JSON can name what is no text, such as half of a surrogate pair.
    detail = str(error).encode("utf-8", "replace").decode()
    shown = detail if len(detail) <= MAX_DETAIL_CHARS else f"{detail[:MAX_DETAIL_CHARS]}..."
    return JSONResponse({"detail": shown}, 413 if isinstance(error, TooLongError) else 422)
