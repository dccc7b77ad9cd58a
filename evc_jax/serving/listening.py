"""A socket to listen at, and an application served at it until SIGTERM or SIGINT."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
from collections.abc import Callable
from typing import Any

from evc_jax.errors import ConfigError


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet: `run` lets it."""
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


def run(
    app: Any,
    listener: socket.socket,
    grace_s: float,
    lifespan: bool = False,
    own_log: bool = True,
    begin: Callable[[Callable[[], None]], object] = lambda stop: None,
) -> None:
    """Serves an ASGI application; requests under way have so many seconds to finish.

    Args:
      app: the application.
      listener: of `bind`.
      grace_s: for the last requests.
      lifespan: whether the application wants to hear of its start and end.
      own_log: whether uvicorn prints its warnings itself, or only hands them to `logging`.
      begin: called before the socket listens, with a function that ends the server from any thread.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on" if lifespan else "off",
        timeout_graceful_shutdown=round(grace_s),
        server_header=False,
        log_config=uvicorn.config.LOGGING_CONFIG if own_log else None,
    )
    server = uvicorn.Server(config)
    # uvicorn finishes its requests and then sends itself the signal again, which must not end the process.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        begin(lambda: setattr(server, "should_exit", True))
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
