"""Pages for people: what this is, and Swagger UI from the server's own files, so that no other host is asked."""

from __future__ import annotations

import html
import importlib.resources
import json

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from evc_jax import __version__
from evc_jax.pretrained.licence import CODE_LICENCE, meaning

# Swagger UI sets styles of elements and draws icons from data; it runs no code but that of these files.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
# Shipped by the package fastapi_swagger.
_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png"}
_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><link rel="icon" href="{root}/docs/favicon-32x32.png">{head}</head>
<body>{body}</body>
</html>
"""
_HOME = """
<h1>evc_jax {version}</h1>
<p>Emotional voice cloning: send a recording, get it back with another emotion or in another voice.</p>
<ul>
<li><a href="{root}/docs">/docs</a>: the routes, their fields, and forms to try them</li>
<li><a href="{root}/info">/info</a>: emotions, voices, options and limits of this server</li>
<li><a href="{root}/health">/health</a>, <a href="{root}/metrics">/metrics</a>: for operators</li>
</ul>
<p>Code: {code_licence}. Bundle: {licence}. {meaning}</p>
"""
_SCRIPT = """SwaggerUIBundle({{
  url: {url}, dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
}});
"""

router = APIRouter(include_in_schema=False)


@router.get("/")
async def home(request: Request) -> Response:
    """What this server is."""
    licence = request.app.state.service.bundle.licence
    shown = {"licence": licence or "no licence", "meaning": meaning(licence), "code_licence": CODE_LICENCE}
    texts = {name: html.escape(text) for name, text in shown.items()}
    root = _root(request)
    return _page("evc_jax", root, "", _HOME.format(version=__version__, root=root, **texts))


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The interactive documentation."""
    root = _root(request)
    head = f'<link rel="stylesheet" href="{root}/docs/swagger-ui.css">'
    scripts = (f'<script src="{root}/docs/{name}"></script>' for name in ("swagger-ui-bundle.js", "start.js"))
    return _page("evc_jax: API", root, head, f'<div id="swagger-ui"></div>{"".join(scripts)}')


@router.get("/docs/start.js")
async def start(request: Request) -> Response:
    """Starts Swagger UI; a file, as the policy allows no scripts inside pages."""
    return Response(_SCRIPT.format(url=json.dumps(f"{_root(request)}/openapi.json")), media_type="text/javascript")


@router.get("/docs/{name}")
async def asset(name: str) -> Response:
    """A file of Swagger UI."""
    if name not in _ASSETS:
        raise HTTPException(404)
    path = str(importlib.resources.files("fastapi_swagger") / "resources" / name)
    return FileResponse(path, media_type=_ASSETS[name], headers={"Cache-Control": "max-age=86400"})


def _root(request: Request) -> str:
    return html.escape(request.scope.get("root_path", "").rstrip("/"))


def _page(title: str, root: str, head: str, body: str) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=title, root=root, head=head, body=body), headers=_HEADERS)
