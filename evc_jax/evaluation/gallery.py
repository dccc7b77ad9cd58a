"""One web page of recordings and their spectrograms, without scripts and external style sheets, with relative links."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 70rem; padding: 2rem 1rem; font: 1rem/1.5 system-ui, sans-serif; }
blockquote { margin: 1rem 0; padding-left: 1rem; border-left: 3px solid #8a3ffc; font-size: 1.1rem; }
table { width: 100%; border-collapse: collapse; }
tr { border-top: 1px solid color-mix(in srgb, currentcolor 20%, transparent); }
th, td { padding: .8rem; text-align: left; }
th { width: 9rem; text-transform: capitalize; }
th small { display: block; font-weight: 400; text-transform: none; }
audio { width: 21rem; max-width: 100%; }
img { width: 100%; min-width: 20rem; }
code { display: block; margin-top: .5rem; font-size: .75rem; }
code span { white-space: nowrap; }
@media (max-width: 46rem) { th, td { display: block; width: auto; } img { min-width: 0; } }
"""


@dataclass(frozen=True)
class Item:
    """One row.

    Attributes:
      title: name of the recording.
      note: a few words below the title.
      sound: file name of the recording, relative to the page.
      picture: file name of its picture, relative to the page.
      command: the command line that makes it; may be empty.
    """

    title: str
    note: str
    sound: str
    picture: str
    command: str = ""


@dataclass(frozen=True)
class Section:
    """A table with a heading and a sentence about it."""

    title: str
    text: str
    items: tuple[Item, ...]


def write_page(path: str | Path, title: str, sentence: str, text: str, sections: Sequence[Section]) -> None:
    """Writes the page.

    Args:
      path: the HTML file; sounds and pictures lie in its folder.
      title: the page's.
      sentence: the words of the recordings.
      text: a paragraph below it.
      sections: the tables.
    """
    body = "\n".join(_section(section) for section in sections)
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
<blockquote>{html.escape(sentence)}</blockquote>
<p>{html.escape(text)}</p>
{body}
</body>
</html>
"""
    Path(path).write_text(page, encoding="utf-8")


def _section(section: Section) -> str:
    rows = "\n".join(_row(item) for item in section.items)
    return f"<h2>{html.escape(section.title)}</h2>\n<p>{html.escape(section.text)}</p>\n<table>\n{rows}\n</table>"


def _row(item: Item) -> str:
    title, sound, picture = (html.escape(text, quote=True) for text in (item.title, item.sound, item.picture))
    # Words in spans, so that no line breaks after the hyphen of an option.
    words = " ".join(f"<span>{html.escape(word)}</span>" for word in item.command.split())
    command = f"<code>{words}</code>" if words else ""
    player = f'<audio controls preload="metadata" src="{sound}" aria-label="{title}"></audio>'
    return (
        f'<tr><th scope="row">{title}<small>{html.escape(item.note)}</small></th>\n'
        f"<td>{player}{command}</td>\n"
        f'<td><img src="{picture}" alt="Mel-spectrogram and F0 of {title}" loading="lazy"></td></tr>'
    )
