"""What every request gets, whatever its route: an id, a line in the log, counters, headers, HEAD, and a last resort."""

from __future__ import annotations

import re
import time
import uuid

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evc_jax.serving.logs import CURRENT, LOGGER, RequestRecord
from evc_jax.serving.service import Service

REQUEST_ID = "X-Request-ID"
CLIENT_GONE = 499  # as nginx calls it: nobody was left to be answered
_CLIENTS_ID = re.compile(r"[A-Za-z0-9_.:/+=@-]{1,128}")
_MAX_PATH_CHARS = 200


class EveryAnswer:
    """ASGI middleware around all others."""

    def __init__(self, app: ASGIApp, service: Service):
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).get(REQUEST_ID, "")
        answer = _Answer(scope, send, RequestRecord(given if _CLIENTS_ID.fullmatch(given) else uuid.uuid4().hex))
        token = CURRENT.set(answer.record)
        # Routes know GET; a HEAD is answered with its headers. A proxy may have cut the root path off or not.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        inner = {**scope, "method": method, "root_path": self._service.settings.root_path}
        try:
            await self._app(inner, receive, answer.send)
        except Exception:
            LOGGER.exception("the request failed")
            if answer.status is None:
                hidden = JSONResponse({"detail": "The server failed; its log holds the reason."}, 500)
                await hidden(inner, receive, answer.send)
        finally:
            self._note(answer, getattr(inner.get("route"), "path", "other"))
            CURRENT.reset(token)

    def _note(self, answer: _Answer, route: str) -> None:
        record, seconds = answer.record, time.perf_counter() - answer.started
        status = CLIENT_GONE if answer.status is None else answer.status
        self._service.metrics.count(route, status, seconds)
        fields = {
            "method": answer.method,
            "path": answer.path,
            "status": status,
            "seconds": round(seconds, 4),
            "audio_in_s": round(record.audio_in_s, 3),
            "audio_out_s": round(record.audio_out_s, 3),
            "queue": self._service.admission.admitted if record.queue is None else record.queue,
        }
        LOGGER.info("request", extra={"fields": fields | ({} if answer.complete else {"complete": False})})


class _Answer:
    """Passes an answer on, with the headers that all have."""

    def __init__(self, scope: Scope, send: Send, record: RequestRecord):
        self.started = time.perf_counter()
        self.record = record
        self.method = scope["method"]
        path = scope.get("raw_path") or scope["path"].encode()
        self.path = path[:_MAX_PATH_CHARS].decode("ascii", "backslashreplace")
        self.status: int | None = None
        self.complete = False
        self._send = send

    async def send(self, message: Message) -> None:
        """See ASGI."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=list(message["headers"]))
            headers[REQUEST_ID] = self.record.request_id
            headers["X-Content-Type-Options"] = "nosniff"
            message = {**message, "headers": headers.raw}
        elif message["type"] == "http.response.body" and self.method == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True
