"""Options that may come from environment variables. Imports nothing slow."""

from __future__ import annotations

import argparse
import os
from typing import Any

from evc_jax.cli.argument_types import names_of
from evc_jax.errors import ConfigError


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The options that have a variable: all that are shown in the help and take a value."""
    return [
        action
        for action in parser._actions
        if action.option_strings and action.nargs != 0 and action.help != argparse.SUPPRESS
    ]


def variable_of(prefix: str, action: argparse.Action) -> str:
    """The variable of an option, as EVC_SERVE_MAX_BATCH of --max-batch."""
    return prefix + action.option_strings[-1].lstrip("-").replace("-", "_").upper()


def hide_defaults(parser: argparse.ArgumentParser) -> None:
    """Leaves what is not given out of the parsed arguments; `fill_in` puts it there."""
    parser.set_defaults(defaults={action.dest: (action, action.default) for action in options_of(parser)})
    for action in options_of(parser):
        action.default = argparse.SUPPRESS


def fill_in(arguments: argparse.Namespace, prefix: str) -> None:
    """Completes arguments that are not given: from the environment, else with their defaults.

    Raises:
      ConfigError: a variable has a value that its option cannot have.
    """
    for name, (action, default) in arguments.defaults.items():
        if not hasattr(arguments, name):
            text = os.environ.get(variable_of(prefix, action))
            setattr(arguments, name, default if not text else _read(action, text, variable_of(prefix, action)))


def _read(action: argparse.Action, text: str, variable: str) -> Any:
    convert: Any = action.type or str
    try:
        if isinstance(action, argparse._AppendAction):
            return [convert(part) for part in names_of(text)]
        value = convert(text)
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentTypeError(f"{text!r} was given, expected one of {', '.join(action.choices)}")
        return value
    except (ValueError, TypeError, argparse.ArgumentTypeError) as error:
        raise ConfigError(f"The environment variable {variable} cannot be used: {error}; set another.") from error
