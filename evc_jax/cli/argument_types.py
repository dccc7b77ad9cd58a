"""The parser of the `evc` command whose errors are one sentence, numbers and lists. Imports nothing slow."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from evc_jax.errors import ConfigError, meant
from evc_jax.files import printable

FAILED = 2
BUNDLE_HELP = (
    "a folder, an archive (.zip, .tar.gz), hf://OWNER/NAME, https://... or gs://...; default: the bundle that comes "
    "with the package"
)


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def refuse(self, command: str, unknown: Sequence[str]) -> NoReturn:
        """Ends the process with a sentence on arguments that a command does not know, and on the one that is meant."""
        commands = next(action for action in self._actions if isinstance(action, argparse._SubParsersAction))
        parser: argparse.ArgumentParser = commands.choices[command]
        name = unknown[0].partition("=")[0]
        parser.error(f"unrecognized argument {unknown[0]}{meant(name, parser._option_string_actions)}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            close = meant(str(value), known)
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}{close}; choose from {', '.join(known)}")

    def error(self, message: str) -> NoReturn:
        """Ends the process with the message as one sentence."""
        self.exit(FAILED, f"{self.prog}: {message.rstrip('.')}; see `{self.prog} --help`.\n")


def number(kind: type, low: float | None, high: float | None) -> Callable[[str], float]:
    """What argparse converts a number with: `kind` is int or float."""
    assert low is not None and high is not None

    def convert(text: str) -> float:
        with contextlib.suppress(ValueError):
            value = kind(text)
            if low <= value <= high:
                return value
        words = "a whole number" if kind is int else "a number"
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected {words} from {low:.10g} to {high:.10g}")

    return convert


def add_limits(parser: argparse.ArgumentParser, limits: Iterable[dataclasses.Field]) -> None:
    """An option for each of a server's limits, see `serving.settings.limit`."""
    for entry in limits:
        option = "--" + entry.name.removesuffix("_s").replace("_", "-")
        kind = number(type(entry.default), entry.metadata["low"], entry.metadata["high"])
        text = f"{entry.metadata['help']}; default: {entry.default:g}"
        parser.add_argument(option, dest=entry.name, metavar="N", type=kind, default=entry.default, help=text)


def strengths_of(text: str) -> tuple[float, ...]:
    """Numbers joined by commas, each once and rising; raises ConfigError where they are none."""
    try:
        return tuple(sorted({round(float(part), 4) for part in text.split(",")}))
    except ValueError:
        raise ConfigError(f"The strengths are {text!r}; give numbers joined by commas, as 0.5,1,1.5.") from None


def names_of(text: str) -> tuple[str, ...]:
    """Names joined by commas, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """The option with which a command that works prints nothing but errors and warnings."""
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors and warnings only")


def watched(arguments: argparse.Namespace) -> bool:
    """Whether progress is drawn: on a terminal, unless --quiet is given."""
    return sys.stderr.isatty() and not arguments.quiet


def say(arguments: argparse.Namespace, line: object, stream: Any = None) -> None:
    """Prints what was done, on standard output if no stream is given, unless --quiet is given."""
    if not arguments.quiet:
        print(printable(str(line)), file=stream or sys.stdout)


def print_error(command: str, sentence: str) -> None:
    """One sentence on standard error, after the name of the command."""
    print(f"evc {command}: {printable(sentence)}", file=sys.stderr)
