"""Gradio's blocks, with the checks that it leaves out where another application serves them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from evc_jax.errors import ConfigError
from evc_jax.files import printable
from evc_jax.studio.events import shown_errors


class CheckedBlocks(gr.Blocks):
    """Blocks whose event handlers get uploaded files only; all errors, also those of Gradio's own, are sentences.

    Gradio compares paths with the upload folder only where `Blocks.launch` has started the server. Otherwise a request
    by hand could name any file of the machine, or a URL, as an uploaded one.
    """

    async def process_api(self, block_fn: Any, inputs: list[Any], *arguments: Any, **named: Any) -> dict[str, Any]:
        """Runs an event handler on what the browser sent."""
        with shown_errors():
            check_files(inputs)
            return await super().process_api(block_fn, inputs, *arguments, **named)


def check_files(given: Any) -> None:
    """Raises ConfigError unless each file among the values of components was uploaded, and is still there."""
    folder = Path(get_upload_folder()).resolve()
    for path in _paths(given):
        if not Path(path).resolve().is_relative_to(folder):
            raise ConfigError("A file was not uploaded to the studio; upload it.")
        if not Path(path).is_file():
            raise ConfigError(f"The file {printable(Path(path).name)} is no longer kept; give it again.")


def _paths(given: Any) -> Iterator[str]:
    if isinstance(given, dict) and isinstance(given.get("path"), str):
        yield given["path"]
    if isinstance(given, dict | list):
        for each in given.values() if isinstance(given, dict) else given:
            yield from _paths(each)
