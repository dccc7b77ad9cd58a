"""`evc serve`: its arguments, and running it. Imports nothing slow before it runs."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable

from evc_jax.cli.argument_types import BUNDLE_HELP, FAILED, add_limits, number
from evc_jax.cli.environment import fill_in, hide_defaults
from evc_jax.errors import EvcError
from evc_jax.extras import require_extra
from evc_jax.pretrained.bundle import Bundle, load_bundle
from evc_jax.serving.settings import (
    EPILOG,
    LOG_FORMATS,
    LOG_LEVELS,
    TEXT_LOGS,
    ServerSettings,
    check_origin,
    check_root_path,
    limits,
)

__all__ = ["EPILOG", "add_arguments", "run"]

PREFIX = "EVC_SERVE_"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for all of this machine's; default: 127.0.0.1")
    parser.add_argument("--port", type=number(int, 0, 65535), default=8000, help="0 is any free one; default: 8000")
    parser.add_argument("--bundle", metavar="BUNDLE", help=BUNDLE_HELP)
    voices = "folder of `evc voices` whose voices requests may name, as it is at the start"
    parser.add_argument("--voices-dir", metavar="DIR", default="", help=voices)
    add_limits(parser, limits(ServerSettings))
    parser.add_argument(
        "--log-format", choices=LOG_FORMATS, default="text", help="of standard error, a line for each; default: text"
    )
    levels = "info shows every request; debug also what libraries say; default: info"
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info", help=levels)
    origins = "whose pages may read answers, as https://example.org; several times for several, * for all"
    parser.add_argument(
        "--cors-origin",
        dest="cors_origins",
        type=_checked(check_origin),
        metavar="ORIGIN",
        action="append",
        help=origins,
    )
    root = "under which a proxy shows the server, as /speech"
    parser.add_argument("--root-path", type=_checked(check_root_path), metavar="PATH", default="", help=root)
    parser.add_argument("--exact", action=argparse.BooleanOptionalAction, help=argparse.SUPPRESS)  # of version 0.1
    hide_defaults(parser)


def _checked(check: Callable[[str], str]) -> Callable[[str], str]:
    """What argparse converts a text with, for a function of `serving.settings`."""

    def convert(text: str) -> str:
        try:
            return check(text)
        except EvcError as error:
            raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error

    return convert


def run(arguments: argparse.Namespace, warmed: Callable) -> int:
    """Runs the command; `warmed` makes a converter of a bundle with the command line's settings of JAX."""
    require_extra("serve", "A server")
    fill_in(arguments, PREFIX)
    given = {entry.name: getattr(arguments, entry.name) for entry in dataclasses.fields(ServerSettings)}
    settings = ServerSettings(**given | {"cors_origins": tuple(arguments.cors_origins or ())})
    from evc_jax.serving.logs import LOGGER, installed

    with installed(settings.log_format, settings.log_level):
        try:
            _serve(warmed(load_bundle(arguments.bundle)).bundle, arguments, settings)
        except EvcError as error:
            if settings.log_format == TEXT_LOGS:
                raise
            LOGGER.error("%s", error)
            return FAILED
    return 0


def _serve(bundle: Bundle, arguments: argparse.Namespace, settings: ServerSettings) -> None:
    from evc_jax.serving.server import serve

    serve(bundle, arguments.host, arguments.port, settings)
