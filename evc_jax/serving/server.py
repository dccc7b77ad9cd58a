"""A server from start to end: port, warm-up, requests, and the last answers after SIGTERM."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from evc_jax import __version__
from evc_jax.files import printable
from evc_jax.pretrained.bundle import Bundle
from evc_jax.pretrained.licence import CODE_LICENCE, meaning
from evc_jax.serving.app import make_app
from evc_jax.serving.listening import address_of, bind, run
from evc_jax.serving.logs import LOGGER
from evc_jax.serving.service import Service
from evc_jax.serving.settings import ServerSettings

_GRACE_S = 5


def serve(bundle: Bundle, host: str, port: int, settings: ServerSettings) -> None:
    """Serves until SIGTERM or SIGINT; requests under way are then finished. What happens is logged: see `logs`.

    The socket listens at once; until the networks are warm, requests are answered with 503.

    Raises:
      EvcError: the address cannot be used, or the bundle is damaged.
    """
    LOGGER.info(
        "evc_jax %s (%s) serves the bundle %s (%s). %s",
        *(__version__, CODE_LICENCE, printable(bundle.path), bundle.licence or "no licence", meaning(bundle.licence)),
    )
    with contextlib.closing(bind(host, port)) as listener:
        service = Service(bundle, settings)
        service.status = "warming up"
        ready = f"ready at {address_of(host, listener)}{settings.root_path}, described in /docs; Ctrl-C ends it"
        warming = _WarmUp(service, ready)
        try:
            grace_s = settings.timeout_s + _GRACE_S
            run(make_app(service), listener, grace_s, own_log=False, begin=warming.begin)
        finally:
            service.status = "stopping"
            warming.join()
            service.close()
        warming.raise_error()
        LOGGER.info("stopped")


class _WarmUp:
    """The warm-up in a thread beside the server, which it ends if it fails."""

    def __init__(self, service: Service, ready: str):
        self._service = service
        self._ready = ready
        self._error: BaseException | None = None
        self._stop: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="warm-up")

    def begin(self, stop: Callable[[], None]) -> None:
        """`stop` ends the server."""
        LOGGER.info("warming up")
        self._stop = stop
        self._thread.start()

    def join(self) -> None:
        """Waits for the step that is under way."""
        if self._thread.ident is not None:
            self._thread.join()

    def raise_error(self) -> None:
        """Raises what ended the warm-up, if anything did."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._service.warm_up()
            if self._service.status == "warming up":
                self._service.status = "ready"
                LOGGER.info(self._ready)
        except BaseException as error:  # raised where the server was started
            self._error = error
            self._stop()
