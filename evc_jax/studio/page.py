"""The page: a recording above, and a tab for each thing to do with it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from evc_jax import __version__
from evc_jax.files import ASSETS
from evc_jax.studio import (
    batch_tab,
    convert_tab,
    evaluate_tab,
    explore_tab,
    timeline_tab,
    train_tab,
    transfer_tab,
)
from evc_jax.studio.checked_blocks import CheckedBlocks
from evc_jax.studio.events import PRIVATE
from evc_jax.studio.recordings import recording_input
from evc_jax.studio.session import Studio

CONSENT = (
    "Clone a voice only with the consent of its owner. What is made here is synthetic speech, and says so in the "
    "files' metadata."
)
_FOLDER = ASSETS / "studio"
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
PAGE_LOOK: dict[str, Any] = {
    "theme": gr.themes.Soft(primary_hue="blue", font=_FONTS, font_mono=["ui-monospace", "Consolas", "monospace"]),
    "css_paths": [_FOLDER / "studio.css"],
    "head": f"<script>{(_FOLDER / 'studio.js').read_text(encoding='utf-8')}</script>",
    "favicon_path": None,
}


def make_page(studio: Studio) -> gr.Blocks:
    """All tabs on one bundle."""
    with CheckedBlocks(title="evc studio", analytics_enabled=False) as page:
        gr.HTML(f"<h1>evc studio</h1><p class='evc-notice'>{CONSENT}</p>", js_on_load=None)
        source = _source(studio)
        with gr.Tabs():
            with gr.Tab("Convert"):
                controls = convert_tab.build(studio, source)
            with gr.Tab("Timeline"):
                timeline_tab.build(studio, source, controls)
            with gr.Tab("Transfer"):
                transfer_tab.build(studio, source)
            with gr.Tab("Batch"):
                batch_tab.build(studio, controls)
            with gr.Tab("Explore") as explore:
                explore_tab.build(studio, source, controls, explore)
            if studio.settings.allow_training:
                with gr.Tab("Train"):
                    train_tab.build(studio)
            with gr.Tab("Evaluate"):
                evaluate_tab.build(studio)
        gr.HTML(f"<p class='evc-notice'>evc_jax {__version__}</p>", js_on_load=None)
    page.queue(max_size=studio.settings.queue, default_concurrency_limit=studio.settings.workers)
    return page


def _source(studio: Studio) -> gr.Audio:
    """The recording that the tabs share."""
    with gr.Column():
        source = recording_input("Your recording", "source")
        with gr.Row():
            example = gr.Button("Use the example recording", size="sm")
            # The browser lets the component above take files of sound only, and WebM and MP4 files count as video.
            other = gr.UploadButton("Upload a video, or another kind of file", size="sm", elem_id="other-file")
    other.upload(lambda path: path, other, source, **PRIVATE)
    example.click(lambda: str(ASSETS / "demo.wav"), None, source, **PRIVATE)
    return source
