"""A socket to listen at, and an application served at it until SIGTERM or SIGINT."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
from typing import Any

from evc_jax.errors import ConfigError


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet, so that no client connects during warm-up."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigError(f"{host}:{port} cannot be listened at ({error}); give another --host or --port.") from error
    return listener


def address_of(host: str, listener: socket.socket) -> str:
    """The URL of the socket's root."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


def run(app: Any, listener: socket.socket, grace_s: float, lifespan: bool = False) -> None:
    """Serves an ASGI application; requests under way have so many seconds to finish."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        lifespan="on" if lifespan else "off",
        timeout_graceful_shutdown=round(grace_s),
        server_header=False,
    )
    # uvicorn finishes its requests and then sends itself the signal again, which must not end the process.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
