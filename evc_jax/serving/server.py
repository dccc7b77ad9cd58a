"""A server from start to end: port, warm-up, requests, and the last answers after SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable

import uvicorn

from evc_jax.errors import ConfigError
from evc_jax.pretrained.bundle import Bundle
from evc_jax.serving.app import make_app
from evc_jax.serving.service import Service
from evc_jax.serving.settings import ServerSettings

_GRACE_S = 5


def serve(bundle: Bundle, host: str, port: int, settings: ServerSettings, log: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT; requests under way are then finished. `log` takes lines for the operator.

    Raises:
      EvcError: the address cannot be used, or the bundle is damaged.
    """
    with contextlib.closing(_bind(host, port)) as listener:
        service = Service(bundle, settings)
        try:
            log("warming up")
            service.warm_up()
            name = f"[{host}]" if ":" in host else host
            log(f"ready at http://{name}:{listener.getsockname()[1]}, described in /docs; Ctrl-C ends it")
            _run(service, listener)
        finally:
            service.close()


def _run(service: Service, listener: socket.socket) -> None:
    grace_s = round(service.settings.timeout_s + _GRACE_S)
    config = uvicorn.Config(
        make_app(service), log_level="warning", lifespan="off", timeout_graceful_shutdown=grace_s, server_header=False
    )
    # uvicorn finishes its requests and then sends itself the signal again, which must not end the process.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet, so that no client connects during warm-up."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigError(f"{host}:{port} cannot be listened at ({error}); give another --host or --port.") from error
    return listener
