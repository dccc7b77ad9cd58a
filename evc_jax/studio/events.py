"""What becomes of errors and warnings in the page's event handlers."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import inspect
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from evc_jax.errors import AudioWarning, EvcError
from evc_jax.files import printable

# Of event handlers: they are of the page alone, and no part of an API.
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
FAILED = "The studio failed; its log holds the reason."
_LOG = logging.getLogger("evc_jax.studio")
_WARNED: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("warned", default=None)


def guarded(handler: Callable) -> Callable:
    """An event handler, a function or a generator, whose errors and warnings are shown in the page as one sentence."""
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def generate(*arguments: Any, **named: Any):
            with shown_errors():
                yield from handler(*arguments, **named)

        return generate

    @functools.wraps(handler)
    def call(*arguments: Any, **named: Any):
        with shown_errors():
            return handler(*arguments, **named)

    return call


def collect_warnings() -> None:
    """From now on, an `AudioWarning` in a guarded handler is shown in the page instead of on standard error."""
    warnings.simplefilter("always", AudioWarning)
    show_others = warnings.showwarning

    def show(message: Any, category: type[Warning], *place: Any, **rest: Any) -> None:
        warned = _WARNED.get()
        if warned is not None and issubclass(category, AudioWarning):
            warned.append(str(message))
        else:
            show_others(message, category, *place, **rest)

    warnings.showwarning = show


@contextlib.contextmanager
def shown_errors() -> Iterator[None]:
    """Makes errors of the block those that the page shows, and the warnings of `collect_warnings`, too."""
    warned: list[str] = []
    _WARNED.set(warned)
    try:
        yield
    except gr.Error:
        raise
    except EvcError as error:
        sentence = without_folders(str(error))
        raise gr.Error(sentence, title="This cannot be done", print_exception=False, duration=None) from error
    except Exception as error:
        _LOG.error("an event handler failed", exc_info=error)
        raise gr.Error(FAILED, title="Error", print_exception=False, duration=None) from error
    finally:
        for sentence in warned:
            gr.Warning(without_folders(sentence))


def without_folders(sentence: str) -> str:
    """A sentence in which temporary files have their names alone."""
    words = []
    for word in printable(sentence).split(" "):
        is_temporary = word.startswith((tempfile.gettempdir() + "/", "/tmp/"))
        words.append(Path(word).name if is_temporary else word)
    return " ".join(words)
