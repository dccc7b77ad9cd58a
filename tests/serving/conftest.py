"""One service whose networks are compiled once, and a client of it."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from support.uploads import conversion


class Client:
    """Sends requests to an application in this process, several at once."""

    def __init__(self, service, app):
        self.service = service
        self.app = app

    def send(self, *requests):
        import httpx

        async def send_all():
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://evc", timeout=None) as client:
                return await asyncio.gather(*(client.request(**request) for request in requests))

        return self.run(send_all())

    @staticmethod
    def run(coroutine):
        """Runs it in a thread of its own: once a browser was started, its loop counts as running in this one."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, coroutine).result()

    def get(self, path):
        return self.send({"method": "GET", "url": path})[0]

    def post(self, path, body):
        """Sends a JSON body, which may hold what is no text."""
        headers = {"content-type": "application/json"}
        return self.send({"method": "POST", "url": path, "content": json.dumps(body), "headers": headers})[0]

    def convert(self, data, headers=None, voices=(), **fields):
        return self.send(conversion(data, headers, voices, **fields))[0]

    def narrow(self, monkeypatch, **limits):
        """Sets `queue` or `timeout_s` until the test ends."""
        service = self.service
        monkeypatch.setattr(service, "settings", replace(service.settings, **limits))
        monkeypatch.setattr(service.admission, "capacity", service.settings.queue)
        monkeypatch.setattr(service.admission, "timeout_s", service.settings.timeout_s)


@pytest.fixture(scope="session")
def service(tiny_bundle):
    pytest.importorskip("fastapi")
    from evc_jax.pretrained.bundle import load_bundle
    from evc_jax.serving.service import Service
    from evc_jax.serving.settings import ServerSettings

    limits = {"max_upload_mb": 1, "max_seconds": 10, "queue": 16, "timeout_s": 300, "workers": 2}
    service = Service(load_bundle(tiny_bundle), ServerSettings(**limits))
    yield service
    service.close()


@pytest.fixture(scope="session")
def client(service):
    pytest.importorskip("httpx")
    from evc_jax.serving.app import make_app

    return Client(service, make_app(service))
