"""Errors that a user can mend. Each message is one sentence: what was given, what was expected, what to do.

The command line prints the sentence and exits with 2; a traceback is a bug of ours.
"""

import difflib
from collections.abc import Iterable


class EvcError(ValueError):
    """Anything the user can mend."""


class AudioError(EvcError):
    """A recording that cannot be used."""


class AudioWarning(UserWarning):
    """A recording that is used although something is wrong with it, in one sentence."""


class DataError(EvcError):
    """A corpus or dataset that is missing, incomplete or not what it says it is."""


class ConfigError(EvcError):
    """A configuration with an unknown key or an impossible value."""


class BundleError(EvcError):
    """A bundle that cannot be read or lacks what is asked of it."""


class BundleWarning(UserWarning):
    """A bundle that is used although something is wrong with it, in one sentence."""


class CheckpointError(EvcError):
    """A work directory without a usable checkpoint, or with one of another configuration."""


class TrainingError(EvcError):
    """A training that cannot go on: its loss is not a number, or its disk is full."""


def meant(name: str, known: Iterable[str]) -> str:
    """`(did you mean ...?)` after a blank where a name is like a known one, whatever their case; else nothing."""
    by_case = {each.casefold(): each for each in known}
    found = difflib.get_close_matches(name.strip().casefold(), by_case, 1)
    return f" (did you mean {by_case[found[0]]}?)" if found else ""


def one_line(error: BaseException) -> str:
    """The message of another library's error as part of a sentence: one line of at most 160 characters."""
    return " ".join(str(error).split())[:160].rstrip(". ") or type(error).__name__
