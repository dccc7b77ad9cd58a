"""A server from start to end: port, warm-up, requests, and the last answers after SIGTERM."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from evc_jax.pretrained.bundle import Bundle
from evc_jax.serving.app import make_app
from evc_jax.serving.listening import address_of, bind, run
from evc_jax.serving.service import Service
from evc_jax.serving.settings import ServerSettings

_GRACE_S = 5


def serve(bundle: Bundle, host: str, port: int, settings: ServerSettings, log: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT; requests under way are then finished. `log` takes lines for the operator.

    Raises:
      EvcError: the address cannot be used, or the bundle is damaged.
    """
    with contextlib.closing(bind(host, port)) as listener:
        service = Service(bundle, settings)
        try:
            log("warming up")
            service.warm_up()
            log(f"ready at {address_of(host, listener)}, described in /docs; Ctrl-C ends it")
            run(make_app(service), listener, settings.timeout_s + _GRACE_S)
        finally:
            service.close()
