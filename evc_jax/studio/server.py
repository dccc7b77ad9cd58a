"""The studio from start to end: a private folder, the page, and the removal of everything that it kept."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evc_jax.pretrained.bundle import Bundle
from evc_jax.serving.listening import address_of, bind, is_loopback, run
from evc_jax.studio.settings import StudioSettings

_GRACE_S = 2
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    # Scripts and styles stand inside Gradio's page. Nothing may be loaded from, or sent to, another machine.
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; form-action 'self'",
}


def serve(
    bundle: Bundle, host: str, port: int, settings: StudioSettings, browser: bool, log: Callable[[str], None]
) -> None:
    """Serves the page until SIGTERM or SIGINT. `log` takes lines for the operator.

    Raises:
      EvcError: the address cannot be used, or the bundle is damaged.
    """
    _quiet_gradio()
    with contextlib.closing(bind(host, port)) as listener, tempfile.TemporaryDirectory(prefix="evc-studio-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "uploads")
        from evc_jax.studio.session import Studio

        studio = Studio(bundle, settings, Path(folder))
        log("warming up")
        studio.warm_up()
        url = address_of(host, listener)
        app = make_app(studio, [*_LOOPBACK, host] if is_loopback(host) else None)
        log(f"ready at {url}; Ctrl-C ends it")
        if browser and _has_display():
            webbrowser.open(url)
        run(app, listener, _GRACE_S, lifespan=True)


def make_app(studio: Any, hosts: list[str] | None = None) -> Any:
    """The application: Gradio's page, and the files of `studio.outputs`.

    Args:
      studio: a `session.Studio`.
      hosts: names that requests may give for this machine, so that no other page of the browser's reaches it; None for
        any.
    """
    import gradio as gr
    from fastapi import FastAPI, HTTPException, Request
    from fastapi.responses import FileResponse
    from fastapi.staticfiles import StaticFiles
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from evc_jax.studio.evaluate_tab import EVALUATION_ROUTE
    from evc_jax.studio.events import collect_warnings
    from evc_jax.studio.outputs import ROUTE, media_type
    from evc_jax.studio.page import PAGE_LOOK, make_page

    collect_warnings()
    app = FastAPI(title="evc_jax studio", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get(ROUTE + "/{token}/{name}")
    def output(token: str, name: str) -> FileResponse:
        file = studio.outputs.find(token)
        if file is None:
            raise HTTPException(404, "This file is no longer kept; convert again.")
        return FileResponse(file, media_type=media_type(name), headers={"Cache-Control": "private, no-store"})

    if studio.settings.evaluation_dir:
        app.mount(EVALUATION_ROUTE, StaticFiles(directory=studio.settings.evaluation_dir))

    @app.middleware("http")
    async def with_headers(request: Request, call_next: Callable) -> Any:
        response = await call_next(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    if hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    return gr.mount_gradio_app(
        app,
        make_page(studio),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=True,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        max_file_size=studio.settings.max_upload_bytes,
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
        **PAGE_LOOK,
    )


def _quiet_gradio() -> None:
    """Gradio counts its users and asks for newer versions of itself, unless it is told not to before its import."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _has_display() -> bool:
    on_desktop = sys.platform in ("darwin", "win32")
    return on_desktop or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
