"""The parser of the `evc` command whose errors are one sentence, and numbers within bounds. Imports nothing slow."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from typing import NoReturn

FAILED = 2


class OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
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
