"""A web server in this process which serves files from a dict, and speaks as much of the Hugging Face Hub's API as its
library asks for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Place:
    """What a server has and how it answers.

    Attributes:
      address: as http://127.0.0.1:PORT.
      files: contents by path, `/a/b`.
      revisions: of the hub's repositories: by owner/name the commit of every revision.
      commits: their files, by commit.
      cut: paths whose answers end in the middle.
      redirects: where a path leads to.
      gone: whether connections end without an answer.
      status: an error that is the answer to everything; 0 for none.
      asked: paths of all requests.
    """

    def __init__(self, address: str):
        self.address = address
        self.files: dict[str, bytes] = {}
        self.revisions: dict[str, dict[str, str]] = {}
        self.commits: dict[str, dict[str, bytes]] = {}
        self.cut: set[str] = set()
        self.redirects: dict[str, str] = {}
        self.gone = False
        self.status = 0
        self.asked: list[str] = []


@contextlib.contextmanager
def web_place() -> Iterator[Place]:
    """A running server; it is gone behind the block."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.place = Place(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield handler.place
    finally:
        handler.place.gone = True
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    place: Place
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        if self.place.gone:
            self.close_connection = True
            return None
        self.place.asked.append(path)
        if self.place.status:
            return self._send(b"no", self.place.status)
        if path in self.place.redirects:
            return self._send(b"", 302, {"Location": self.place.redirects[path]})
        if path.startswith("/api/models/"):
            return self._describe(path)
        content = self.place.files.get(path)
        if match := re.fullmatch(r"/([\w-]+/[\w-]+)/resolve/([^/]+)/(.+)", path):
            content = self.place.commits.get(match[2], {}).get(match[3])
        if content is None:
            return self._send(b"no", 404)
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": match[2] if match else ""}
        return self._send(content, headers=headers, cut=path in self.place.cut)

    do_HEAD = do_GET

    def log_message(self, *arguments):
        pass

    def _describe(self, path: str):
        match = re.fullmatch(r"/api/models/([\w-]+/[\w-]+)(?:/(revision|tree)/([^/]+)(?:/.*)?)?", path)
        revisions = self.place.revisions.get(match[1], {})
        commit = revisions.get(match[3] or "main", match[3] if match[3] in self.place.commits else None)
        if commit is None:
            kind = "RevisionNotFound" if revisions else "RepoNotFound"
            return self._json({"error": "not found"}, 404, {"X-Error-Code": kind})
        files = self.place.commits[commit]
        if match[2] == "tree":
            return self._json(
                [
                    {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for name, content in sorted(files.items())
                ]
            )
        siblings = [{"rfilename": name} for name in sorted(files)]
        return self._json({"id": match[1], "sha": commit, "siblings": siblings, "private": False, "tags": []})

    def _json(self, answer: object, status: int = 200, headers: dict[str, str] | None = None):
        self._send(json.dumps(answer).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _send(self, content: bytes, status: int = 200, headers: dict[str, str] | None = None, cut: bool = False):
        start, stop = 0, len(content)
        if status == 200 and (match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))):
            start, stop, status = int(match[1]), min(stop, int(match[2] or stop) + 1), 206
            headers = {**(headers or {}), "Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(stop - start)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(OSError):  # a client that has seen enough
                self.wfile.write(content[start : (start + stop) // 2 if cut else stop])
        self.close_connection = self.close_connection or cut
