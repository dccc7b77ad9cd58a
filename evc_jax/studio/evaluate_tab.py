"""Evaluate: what was measured of the bundle."""

from __future__ import annotations

import gradio as gr

from evc_jax.errors import BundleError
from evc_jax.evaluation.page import render_section
from evc_jax.evaluation.published import all_sections
from evc_jax.studio.players import notice_html
from evc_jax.studio.session import Studio

EVALUATION_ROUTE = "/evaluation"


def build(studio: Studio) -> None:
    """The tab: the page of `--evaluation`, with its sounds and pictures, or the figures that the bundle carries."""
    if studio.settings.evaluation_dir:
        page = f'<iframe class="evc-evaluation" src="{EVALUATION_ROUTE}/index.html" title="Evaluation"></iframe>'
        gr.HTML(page, js_on_load=None)
        return
    gr.HTML(evaluation_html(studio), js_on_load=None, elem_id="evaluation")


def evaluation_html(studio: Studio) -> str:
    """The sections of the evaluation that the bundle carries, or a sentence of how to make them."""
    try:
        sections = all_sections(studio.bundle.path)
    except BundleError as error:
        return notice_html(str(error).replace(str(studio.bundle.path), studio.bundle.path.name))
    if not sections:
        return notice_html(
            "This bundle carries no figures; `evc evaluate` measures it, and writes evaluation.json to copy into it."
        )
    return f'<div class="evc-evaluation-page">{"".join(map(render_section, sections))}</div>'
