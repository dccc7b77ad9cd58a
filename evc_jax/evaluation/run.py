"""One evaluation: all sections of the page, the page, and the same figures as JSON."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable

import evc_jax
from evc_jax.conversion.converter import Converter
from evc_jax.errors import BundleError, DataError
from evc_jax.evaluation import judges
from evc_jax.evaluation.context import Context, write_whole
from evc_jax.evaluation.page import render_page
from evc_jax.evaluation.report import FIGURES, Section, as_json
from evc_jax.evaluation.settings import EvaluationSettings
from evc_jax.files import printable

PAGE = "index.html"
NEEDS_EMOTIONS = ("emotion", "words")


def evaluate(
    converter: Converter, settings: EvaluationSettings, progress: bool = False, log: Callable[[str], None] = print
) -> list[Section]:
    """Measures a bundle and writes the page, its sound and pictures, and `evaluation.json` into the output folder.

    What is measured is written down at once: a second run with the same bundle, data and options goes on from there.

    Args:
      converter: of the bundle.
      settings: what to measure.
      progress: whether to draw bars on standard error.
      log: is given a line of each judge that is not installed.

    Returns:
      the sections of the page.

    Raises:
      BundleError: the bundle converts none of the emotions that the judged speakers have.
      EvcError: the datasets cannot be used; the message says what to do.
    """
    lacking = [
        f"not measured: {judge.measures}, as {judge.package} is not installed; {judge.install}"
        for judge in judges.missing()
    ]
    for line in lacking:
        log(line)
    settings.output.mkdir(parents=True, exist_ok=True)
    context = Context(converter, settings, progress)
    if not context.sources:
        raise DataError("No recording is neutral, which conversions start from; give datasets that have such ones.")
    if set(settings.sections) & set(NEEDS_EMOTIONS) and not context.emotions:
        raise BundleError(
            "The bundle converts none of the emotions that the judged speakers have recorded; give another bundle, "
            "other datasets, or the sections vocoders, controls and transfer."
        )
    sections = []
    for name in settings.sections:
        module = importlib.import_module(f"evc_jax.evaluation.sections.{name}")
        sections.append(getattr(module, f"{name}_section")(context))
    description = _description(context)
    introduction = [f"{key}: {value}" for key, value in description.items() if isinstance(value, str | int)]
    caveat = (
        "Figures are means; below them are 95 % intervals, of a bootstrap over speakers and their recordings. With few "
        "speakers they are wide."
    )
    page = render_page(f"Evaluation of {description['bundle']}", [*introduction, caveat, *lacking], sections)
    figures = {**description, "sections": {section.name: section.to_json() for section in sections}}
    write_whole(settings.output / FIGURES, json.dumps(as_json(figures), ensure_ascii=False) + "\n")
    write_whole(settings.output / PAGE, page)
    return sections


def _description(context: Context) -> dict:
    settings, bundle = context.settings, context.converter.bundle
    return {
        "bundle": printable(bundle.path.name),
        "evc_jax": evc_jax.__version__,
        "datasets": settings.datasets,
        "split": settings.split,
        "speakers": ", ".join(dict.fromkeys(source["speaker"] for source in context.sources)),
        "neutral recordings converted": len(context.sources),
        "options": ", ".join(f"{name}={value}" for name, value in settings.options.items()) or "the bundle's defaults",
        "strengths": list(settings.strengths),
        "quick": settings.quick,
        "judges missing": [judge.package for judge in judges.missing()],
    }
