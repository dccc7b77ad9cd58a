"""HTML of sounds, pictures and downloads. Names and texts may be anything: they are escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDE_PX = 1000


@dataclass(frozen=True)
class Link:
    """A download: its text, the path of its URL, and the name that the file gets."""

    text: str
    url: str
    name: str

    def html(self) -> str:
        """An anchor."""
        return f'<a class="evc-link" href="{escape(self.url)}" download="{escape(self.name)}">{escape(self.text)}</a>'


def player_html(title: str, url: str, text: str = "", links: Sequence[Link] = ()) -> str:
    """A sound that can be played, with a title, a line of text and downloads."""
    below = f'<p class="evc-text">{escape(text)}</p>' if text else ""
    downloads = f'<p class="evc-links">{" ".join(link.html() for link in links)}</p>' if links else ""
    return (
        f'<figure class="evc-player"><figcaption>{escape(title)}</figcaption>'
        f'<audio controls preload="auto" src="{escape(url)}" aria-label="{escape(title)}"></audio>'
        f"{below}{downloads}</figure>"
    )


def pair_html(*players: str) -> str:
    """Players side by side, between which a key switches: see assets/studio/studio.js."""
    hint = "<kbd>B</kbd> plays the other one from the same moment on; <kbd>Esc</kbd> stops."
    return f'<div class="evc-pair" data-evc-pair>{"".join(players)}</div><p class="evc-text">{hint}</p>'


def picture_html(url: str, description: str, width_px: int = 0) -> str:
    """A picture as wide as there is room; one of a long recording scrolls."""
    kind = "evc-picture evc-wide" if width_px > _WIDE_PX else "evc-picture"
    return f'<div class="{kind}" tabindex="0"><img src="{escape(url)}" alt="{escape(description)}"></div>'


def notice_html(text: str) -> str:
    """A sentence."""
    return f'<p class="evc-text" role="status">{escape(text)}</p>'
