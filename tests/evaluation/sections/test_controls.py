"""The controls of the report are options, each has its own measure, and the picture and the sentence name the worst."""

import numpy as np

from evc_jax.conversion.options import OPTIONS, ConversionOptions
from evc_jax.evaluation.bootstrap import Estimate
from evc_jax.evaluation.independence import BOUND, MEASURES
from evc_jax.evaluation.pictures import draw_matrix
from evc_jax.evaluation.sections.controls import CONTROLS, VOICE, _sentence

NAMES = ["pitch shift"]


def rows(change):
    """A control that moves the duration besides."""
    cells = [Estimate({"f0": 1.0, "duration": change}.get(key, 0.0), 0, 0, 4, 2) for key in MEASURES]
    return {"pitch shift": ("f0", cells), "another voice": ("voice", cells)}


def test_every_control_is_an_option_with_a_measure_of_its_own():
    names = {option.name for option in OPTIONS} | {"voice"}
    settings = [each for control in (*CONTROLS, VOICE) for each in (control.options, *control.others.values())]
    assert {name for setting in settings for name in setting} <= names
    own = [control.own for control in (*CONTROLS, VOICE)]
    assert len(set(own)) == len(own) and set(own) <= set(MEASURES)
    for control in CONTROLS:
        ConversionOptions(**control.options)


def test_the_sentence_names_the_largest_change():
    assert "is of what is measured +0.20 (duration by pitch shift, above 0.15)" in _sentence("", rows(0.2), NAMES)
    assert _sentence("anger", rows(-0.1), NAMES).startswith("On top of anger the largest")
    assert _sentence("", rows(0.2), []).endswith("is unknown.")


def test_the_picture(tmp_path):
    from matplotlib.image import imread

    draw_matrix(tmp_path / "a.png", {"one": rows(0.3), "two": rows(np.nan)}, list(MEASURES), NAMES, BOUND)
    pixels = imread(tmp_path / "a.png")[..., :3]
    assert pixels.shape[0] > 300 and (np.ptp(pixels, axis=2) > 0.3).any()  # colored
