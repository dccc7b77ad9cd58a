"""The HTTP application around a `Service`."""

from __future__ import annotations

from typing import Any, get_args

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from evc_jax import __version__
from evc_jax.conversion.aspects import ASPECT_NAMES
from evc_jax.conversion.options import OPTIONS
from evc_jax.errors import EvcError
from evc_jax.pretrained.bundle import RENDERINGS
from evc_jax.serving.bodies import json_bytes
from evc_jax.serving.metrics import count_answer
from evc_jax.serving.recordings import Container, TooLongError
from evc_jax.serving.routes import router
from evc_jax.serving.service import Service
from evc_jax.vocoders import VOCODERS

MAX_DETAIL_CHARS = 1000
_DESCRIPTION = """\
Emotional voice cloning: the same sentence with another emotion and another voice. Uploads and answers exist in memory
only, while their request is processed. Errors are `{"detail": "one sentence that says what to do"}`."""


def make_app(service: Service) -> FastAPI:
    """The application; the caller closes the service."""
    app = FastAPI(title="evc_jax", version=__version__, description=_DESCRIPTION)
    app.state.service = service
    app.include_router(router)
    app.add_api_route("/health", health, methods=["GET"], responses={503: {"description": "Shutting down."}})
    app.add_api_route("/health/live", live, methods=["GET"])
    app.add_api_route("/info", info, methods=["GET"])
    app.add_api_route(
        "/metrics",
        read_metrics,
        methods=["GET"],
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Prometheus's text format."}},
    )
    app.add_exception_handler(EvcError, _refuse)
    app.add_exception_handler(Exception, _hide_failure)
    app.middleware("http")(count_answer)
    return app


async def health(request: Request) -> JSONResponse:
    """Whether requests are taken: 200 ready, 503 not."""
    ready = request.app.state.service.ready
    return JSONResponse({"status": "ready" if ready else "stopping"}, 200 if ready else 503)


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
        "vocoders": [name for name in VOCODERS if name != "waveglow" or bundle.has("waveglow")],
        "default_vocoder": bundle.default_vocoder,
        "renderings": RENDERINGS,
        "default_rendering": bundle.default_rendering,
        "formats": get_args(Container),
        "sample_rate_hz": service.converter.sample_rate_hz,
        "networks": list(bundle.description["networks"]),
        "licence": bundle.description.get("licence", ""),
        "limits": {
            "upload_bytes": settings.max_upload_bytes,
            "json_bytes": json_bytes(settings.max_upload_bytes),
            "recording_seconds": settings.max_seconds,
            "requests": settings.queue,
            "answer_seconds": settings.timeout_s,
        },
    }


async def read_metrics(request: Request) -> Response:
    """Counters for Prometheus."""
    return Response(request.app.state.service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    # JSON can name what is no text, such as half of a surrogate pair.
    detail = str(error).encode("utf-8", "replace").decode()
    shown = detail if len(detail) <= MAX_DETAIL_CHARS else f"{detail[:MAX_DETAIL_CHARS]}..."
    return JSONResponse({"detail": shown}, 413 if isinstance(error, TooLongError) else 422)


async def _hide_failure(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "The server failed; its log holds the reason."}, 500)
