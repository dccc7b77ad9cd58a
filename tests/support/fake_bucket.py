"""A bucket in this process, which speaks as much of Cloud Storage's API as gcsfs and ArrayRecord's reader ask for."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "bucket"


@contextlib.contextmanager
def fake_bucket(monkeypatch) -> Iterator[dict[str, bytes]]:
    """Serves `gs://bucket` from a dict of objects, for this process and those it starts."""
    objects: dict[str, bytes] = {}
    handler = type("Handler", (_Handler,), {"objects": objects, "uploads": {}})
    server = _Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    # The first is read by gcsfs, the second by ArrayRecord.
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
    monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", address)
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    try:
        yield objects
    finally:
        server.shutdown()


class _Server(ThreadingHTTPServer):
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """Says nothing of clients that end while they are answered."""


class _Handler(BaseHTTPRequestHandler):
    objects: dict[str, bytes]
    uploads: dict[str, tuple[str, bytearray]]
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == f"/storage/v1/b/{BUCKET}":
            return self._answer({"name": BUCKET})
        if url.path == f"/storage/v1/b/{BUCKET}/o":
            return self._list(query.get("prefix", ""), query.get("delimiter"))
        match = re.fullmatch(r"(?:/download)?/storage/v1/b/[^/]+/o/(.+)", url.path)
        name = unquote(match[1]) if match else ""
        if name not in self.objects:
            return self._answer({"error": {"code": 404, "message": "not found"}}, 404)
        if query.get("alt") == "media":
            return self._send(self.objects[name])
        return self._answer(self._describe(name))

    def do_POST(self):
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if url.path == "/resume":
            return self._resume(query["upload"], body)
        if match := re.fullmatch(r"/storage/v1/b/[^/]+/o/(.+)/moveTo/o/(.+)", url.path):
            self.objects[unquote(match[2])] = self.objects.pop(unquote(match[1]))
            return self._answer(self._describe(unquote(match[2])))
        if query.get("uploadType") == "multipart":
            boundary = re.search(r"boundary=['\"]?([^'\";]+)", self.headers["content-type"])[1].encode()
            _, description, content, _ = body.split(b"--" + boundary)
            name = json.loads(description.split(b"\n\n", 1)[-1].split(b"\r\n\r\n", 1)[-1])["name"]
            separator = b"\r\n\r\n" if b"\r\n\r\n" in content else b"\n\n"
            content = content.split(separator, 1)[1]
            self.objects[name] = content[:-2] if content.endswith(b"\r\n") else content[:-1]
            return self._answer(self._describe(name))
        if query.get("uploadType") == "resumable":
            name = query.get("name") or json.loads(body)["name"]
            upload = str(len(self.uploads))
            self.uploads[upload] = (name, bytearray())
            return self._answer({}, headers={"Location": f"http://{self.headers['host']}/resume?upload={upload}"})
        return self._answer({"error": {"code": 501, "message": self.path}}, 501)

    def do_DELETE(self):
        name = unquote(urlsplit(self.path).path.rsplit("/o/", 1)[1])
        found = self.objects.pop(name, None)
        return self._answer({}, 204 if found is not None else 404)

    def log_message(self, *arguments):
        pass

    def _resume(self, upload: str, body: bytes):
        name, received = self.uploads[upload]
        received += body
        if self.headers["content-range"].endswith("*"):
            return self._answer({}, 308, {"Range": f"bytes=0-{len(received) - 1}"})
        self.objects[name] = bytes(received)
        return self._answer(self._describe(name))

    def _list(self, prefix: str, delimiter: str | None):
        names = [name for name in sorted(self.objects) if name.startswith(prefix)]
        folders = set()
        if delimiter:
            nested = [name for name in names if delimiter in name[len(prefix) :]]
            folders = {prefix + name[len(prefix) :].split(delimiter)[0] + delimiter for name in nested}
            names = [name for name in names if name not in nested]
        self._answer({"items": [self._describe(name) for name in names], "prefixes": sorted(folders)})

    def _describe(self, name: str) -> dict:
        content = self.objects[name]
        digest = base64.b64encode(hashlib.md5(content).digest()).decode()
        times = {"timeCreated": "2024-01-01T00:00:00.000Z", "updated": "2024-01-01T00:00:00.000Z"}
        return {"bucket": BUCKET, "name": name, "size": str(len(content)), "md5Hash": digest, "etag": digest, **times}

    def _send(self, content: bytes):
        start, stop = 0, len(content)
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("range", ""))
        if match and not match[1]:
            start = max(0, stop - int(match[2]))
        elif match:
            start, stop = int(match[1]), min(stop, int(match[2]) + 1 if match[2] else stop)
        part = content[start:stop]
        if match and not part:
            return self._answer({"error": {"code": 416, "message": "range"}}, 416)
        ranges = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"} if match else {}
        # ArrayRecord's reader learns the object's size from here.
        self._write(part, 206 if match else 200, {**ranges, "x-goog-generation": "1"})

    def _answer(self, answer: dict, status: int = 200, headers: dict[str, str] | None = None):
        content = b"" if status in (204, 308) else json.dumps(answer).encode()
        self._write(content, status, {"Content-Type": "application/json", **(headers or {})})

    def _write(self, content: bytes, status: int, headers: dict[str, str]):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
