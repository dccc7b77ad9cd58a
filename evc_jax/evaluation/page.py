"""A page to read and listen to: one HTML file beside its sound and pictures. Nothing is fetched from a network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from evc_jax.evaluation.report import Card, Players, Section, Table, shown

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #8884; vertical-align: top }
th:first-child, td:first-child { text-align: left }
td small { display: block; opacity: .65; white-space: nowrap }
.wide { overflow-x: auto }
.players { display: flex; flex-wrap: wrap; gap: .5rem 1rem }
.players label { font-size: .85rem } audio { display: block; width: 15rem; height: 2rem }
img { max-width: 100%; background: white } figure { margin: 1rem 0 }
figcaption, .note { opacity: .75; font-size: .9rem }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1.5rem 1rem }
.card img, .card audio { width: 100% } .card p { margin: .2rem 0; font-size: .9rem }
code { font-size: .8rem; overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) { img { filter: brightness(.8) } }
"""
PICTURES = "The pictures show the mel-spectrogram and, on top of it, the fundamental frequency F0, the speech melody."


def render_page(title: str, introduction: Sequence[str], sections: Sequence[Section]) -> str:
    """The whole page; texts are plain and are escaped here."""
    contents = " · ".join(f'<a href="#{s.name}">{escape(s.title)}</a>' for s in sections)
    body = "\n".join(render_section(section) for section in sections)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n<body>\n'
        f"<h1>{escape(title)}</h1>\n{_paragraphs(introduction)}\n<nav>{contents}</nav>\n{body}\n</body></html>\n"
    )


def render_section(section: Section) -> str:
    """A part of a page; texts are plain and are escaped here."""
    parts = [f'<section id="{section.name}"><h2>{escape(section.title)}</h2>', _paragraphs(section.text)]
    parts += map(_table, section.tables)
    parts += [
        f'<figure><img src="{escape(file)}" alt="{escape(caption)}"><figcaption>{escape(caption)}</figcaption></figure>'
        for file, caption in section.pictures
    ]
    parts += map(_players, section.players)
    if section.cards:
        parts += ['<div class="cards">', *map(_card, section.cards), "</div>"]
    return "\n".join([*parts, "</section>"])


def _paragraphs(texts: Sequence[str]) -> str:
    return "\n".join(f"<p>{escape(text)}</p>" for text in texts)


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.header)
    rows = []
    for name, values in table.rows:
        cells = []
        for value, spec in zip(values, table.specs, strict=True):
            figure, interval = shown(value, spec)
            cells.append(f"<td>{escape(figure)}{f'<small>{escape(interval)}</small>' if interval else ''}</td>")
        rows.append(f"<tr><td>{escape(name)}</td>{''.join(cells)}</tr>")
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<h3>{escape(table.title)}</h3><div class="wide"><table><tr>{head}</tr>\n'
        + "\n".join(rows)
        + f"</table></div>{note}"
    )


def _players(players: Players) -> str:
    files = "".join(
        f'<label>{escape(label)}<audio controls preload="none" src="{escape(file)}"></audio></label>'
        for label, file in players.files
    )
    return f'<h3>{escape(players.title)}</h3><div class="players">{files}</div>'


def _card(card: Card) -> str:
    title, sound, picture = escape(card.title), escape(quote(card.sound)), escape(quote(card.picture))
    command = f"<p><code>{escape(card.command)}</code></p>" if card.command else ""
    return (
        f'<div class="card"><p><b>{title}</b> · <a href="{sound}">{escape(card.sound)}</a></p>'
        f'<audio controls preload="none" src="{sound}" aria-label="{title}"></audio>'
        f'<a href="{picture}"><img src="{picture}" alt="Mel-spectrogram and F0 of {title}" loading="lazy"></a>'
        f"<p>{escape(card.text)}</p>{command}</div>"
    )
