"""`evc studio`: its arguments, and running it. Imports nothing slow before it runs."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from evc_jax.cli.argument_types import BUNDLE_HELP, add_limits, number
from evc_jax.errors import ConfigError
from evc_jax.extras import require_extra
from evc_jax.pretrained.bundle import load_bundle
from evc_jax.serving.settings import limits
from evc_jax.studio.settings import EPILOG, StudioSettings

__all__ = ["EPILOG", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 for all of this machine's; default: 127.0.0.1")
    parser.add_argument("--port", type=number(int, 0, 65535), default=7860, help="0 is any free one; default: 7860")
    text = "open the page in the browser; default: where a terminal watches and there is a display"
    parser.add_argument("--browser", action=argparse.BooleanOptionalAction, help=text)
    parser.add_argument("--bundle", metavar="BUNDLE", help=BUNDLE_HELP)
    parser.add_argument("--data", default="datasets", metavar="DIR", help="of `evc prepare`; default: datasets")
    parser.add_argument("--runs", default="runs", metavar="DIR", help="work directories of trainings; default: runs")
    parser.add_argument("--configs", default="", metavar="DIR", help="of trainings; default: those of the package")
    shown = "output of `evc evaluate` to show; default: the figures that the bundle carries"
    parser.add_argument("--evaluation", default="", metavar="DIR", help=shown)
    add_limits(parser, limits(StudioSettings))


def run(arguments: argparse.Namespace) -> int:
    """Runs the command."""
    require_extra("studio", "The studio")
    if arguments.evaluation and not (Path(arguments.evaluation) / "index.html").is_file():
        raise ConfigError(f"There is no index.html in {arguments.evaluation}; give an output folder of `evc evaluate`.")
    from evc_jax.serving.listening import is_loopback

    settings = StudioSettings(
        **{entry.name: getattr(arguments, entry.name) for entry in limits(StudioSettings)},
        data_dir=arguments.data,
        runs_dir=arguments.runs,
        configs_dir=arguments.configs,
        evaluation_dir=arguments.evaluation,
        allow_training=is_loopback(arguments.host),
    )
    bundle = load_bundle(arguments.bundle)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # trainings of the page need memory, too
    logging.basicConfig(format="evc studio: %(message)s", level=logging.WARNING)
    from evc_jax.jax_cache import enable_cache
    from evc_jax.studio.server import serve

    enable_cache()
    browser = sys.stderr.isatty() if arguments.browser is None else arguments.browser
    log = lambda line: print(f"evc studio: {line}", file=sys.stderr)  # noqa: E731
    serve(bundle, arguments.host, arguments.port, settings, browser, log)
    return 0
