"""What the documentation site has beside the pages of docs/; mkdocs calls the functions whose names begin with `on_`.

Reference pages are made anew at each build, from the argument parser, the configs and the server's fields, so that they
cannot go stale. Pages of docs/ link to files of the repository as GitHub needs it; on the site such a link leads to the
page that shows the file, or is plain text where none does.
"""

from __future__ import annotations

import inspect
import os
import posixpath
import re
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
# Files outside of docs/ that the site shows, and their pages; the README's place is taken by the index.
SHOWN = {"CONTRIBUTING.md": "contributing.md", "evc_jax/assets/MODEL_CARD.md": "model_card.md"}
PAGE_OF = {**SHOWN, "README.md": "index.md"}
HELP_COLUMNS = 100
# The public Python API, by chapters of its page.
PYTHON_API = {
    "Converting": (
        "evc_jax.Converter",
        "evc_jax.ConversionOptions",
        "evc_jax.Conversion",
        "evc_jax.Transfer",
        "evc_jax.stream_convert",
        "evc_jax.conversion.emotion_track.EmotionTrack",
        "evc_jax.conversion.emotion_track.Curve",
    ),
    "Bundles": (
        "evc_jax.load_bundle",
        "evc_jax.Bundle",
        "evc_jax.pretrained.workdir.load_for_inference",
    ),
    "Evaluating": (
        "evc_jax.evaluation.run.evaluate",
        "evc_jax.evaluation.scoring.Scorer",
        "evc_jax.evaluation.scoring.Sample",
    ),
    "Training": (
        "evc_jax.training.config.TrainConfig",
        "evc_jax.training.config.DataConfig",
        "evc_jax.training.config.OptimizerConfig",
        "evc_jax.training.loop.train",
        "evc_jax.training.adaptation.adapt",
        "evc_jax.training.export.export_bundle",
    ),
    "Errors": ("evc_jax.EvcError", "evc_jax.errors"),
}
_CODE = re.compile(r"(^ *```.*?^ *```|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])+)\]\(([^()\s#]+)(#[^()\s]*)?\)")
_ASSET = re.compile(
    r"<(?:script|img|iframe|source|audio|video|link)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)"
)


def command_line_page() -> str:
    """The help texts of `evc` and of each of its commands."""
    from evc_jax.cli.parser import build_parser

    with mock.patch.dict(os.environ, COLUMNS=str(HELP_COLUMNS), NO_COLOR="1"):
        parser = build_parser()
        commands = next(action.choices for action in parser._actions if isinstance(action.choices, dict))
        helps = {"evc": parser.format_help()} | {f"evc {name}": each.format_help() for name, each in commands.items()}
    chapters = [f"## {name}\n\n```text\n{text.rstrip()}\n```\n" for name, text in helps.items()]
    return "\n".join(["# The command line\n\nWhat `evc --help` and `evc COMMAND --help` print.\n", *chapters])


def configs_page() -> str:
    """Every key of every config, in all of its variants."""
    from evc_jax.training.config import config_variants, load_config_file
    from evc_jax.training.settings import leaves

    head = "What `evc train --config=NAME:VARIANT` sets. `--config.KEY=VALUE` changes a key; see [TrainConfig]({})."
    parts = [f"# Configs\n\n{head.format('python.md#evc_jax.training.config.TrainConfig')}\n"]
    for file in sorted((ROOT / "configs").glob("*.py")):
        variants = config_variants(file)
        columns = [leaves(load_config_file(file, variant)) for variant in variants]
        docstring = inspect.cleandoc(re.match(r'"""(.*?)"""', file.read_text(), re.DOTALL)[1]).replace("\\\\", "\\")
        rows = [f"| key | {' | '.join(variants)} |", "|---|" + "---|" * len(variants)]
        for key in dict.fromkeys(key for column in columns for key in column):
            rows.append(f"| `{key}` | {' | '.join(_shown(column.get(key)) for column in columns)} |")
        parts.append(f"## {file.stem}\n\n```text\n{docstring}\n```\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _shown(value: Any) -> str:
    """A setting in a table."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else "" if value is None else str(value)


def http_page() -> str:
    """The fields of the server's two computing routes."""
    from evc_jax.serving.fields import CONVERT, MULTIPART, TRANSFER

    head = "`evc serve` documents itself: `/docs` in a browser, `/openapi.json` for programs. These are the fields of"
    parts = [f"# The HTTP API in short\n\n{head} forms and JSON objects; in JSON, recordings are base64 text.\n"]
    for route, fields in (("POST /convert", CONVERT), ("POST /transfer", TRANSFER)):
        schema = fields.request_body({})["requestBody"]["content"][MULTIPART]["schema"]
        rows = ["| field | needed | meaning |", "|---|---|---|"]
        for name, described in schema["properties"].items():
            needed = "yes" if name in schema["required"] else ""
            rows.append(f"| `{name}` | {needed} | {described.get('description', '').replace('|', ' or ')} |")
        parts.append(f"## {route}\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def python_page() -> str:
    """What mkdocstrings is to fill in."""
    parts = ["# The Python API\n\nFrom the docstrings.\n"]
    for chapter, names in PYTHON_API.items():
        parts.append(f"## {chapter}\n\n" + "\n\n".join(f"::: {name}" for name in names) + "\n")
    return "\n".join(parts)


GENERATED = {
    "reference/command_line.md": command_line_page,
    "reference/configs.md": configs_page,
    "reference/http.md": http_page,
    "reference/python.md": python_page,
}


def links_on_the_site(markdown: str, source: str, page: str) -> str:
    """Links of a page of the repository as the site needs them.

    Args:
      markdown: the page's text.
      source: the page's path in the repository.
      page: its path among the site's pages.

    Raises:
      ValueError: a link leads to a file that does not exist.
    """

    def moved(link: re.Match) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        if ":" in target:
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path.startswith("docs/"):
            shown = path.removeprefix("docs/")
        elif path in PAGE_OF:
            shown = PAGE_OF[path]
        elif (ROOT / path).exists():
            return text
        else:
            raise ValueError(f"{source} links to {target}, which does not exist; mend the link.")
        return f"[{text}]({posixpath.relpath(shown, posixpath.dirname(page) or '.')}{anchor})"

    parts = _CODE.split(markdown)
    # Code stays as it is; a link's text may be code, so inline code is put back before links are looked for.
    fenced = [part for part in parts if part.lstrip().startswith("```")]
    marked = "".join("\0" if part.lstrip().startswith("```") else part for part in parts)
    pieces = _LINK.sub(moved, marked).split("\0")
    return pieces[0] + "".join(block + piece for block, piece in zip(fenced, pieces[1:], strict=True))


def foreign_assets(html: str) -> list[str]:
    """Addresses of other hosts that a browser would load something from when it shows the page."""
    return [address for address in _ASSET.findall(html) if "canonical" not in address]


def on_files(files, config):
    """Adds the pages that are not in docs/."""
    from mkdocs.structure.files import File

    for path, make in GENERATED.items():
        files.append(File.generated(config, path, content=make()))
    for source, path in SHOWN.items():
        files.append(File.generated(config, path, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown, page, config, files):
    """Mends links that leave docs/."""
    from mkdocs.exceptions import PluginError

    path = page.file.src_uri
    if path in GENERATED or not path.endswith(".md"):
        return markdown
    source = {shown: source for source, shown in SHOWN.items()}.get(path, f"docs/{path}")
    try:
        return links_on_the_site(markdown, source, path)
    except ValueError as error:
        raise PluginError(str(error)) from error


def on_post_build(config):
    """Refuses a site that loads anything from other hosts."""
    from mkdocs.exceptions import PluginError

    for page in sorted(Path(config["site_dir"]).rglob("*.html")):
        if addresses := foreign_assets(page.read_text()):
            raise PluginError(f"{page.name} loads {addresses[0]}; the site is to need no other host.")
