"""Pictures stay readable for every length, name and kind of color vision."""

import itertools
import warnings

import numpy as np
import pytest

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.plotting import (
    DISTINCT_COLORS,
    Curve,
    CurvePanel,
    Panel,
    StackPanel,
    draw_small_panel,
    picture_of_panels,
)

CONFIG = AudioConfig()
RED = "#ff0000"
# Of linear RGB, severity 1: Machado et al. 2009.
COLOR_VISIONS = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def rgb(color):
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])


def pixels_of(picture, color):
    return int((picture == rgb(color)).all(axis=-1).sum())


def panels(frames, f0_hz=None):
    mel = np.random.default_rng(0).random((frames, CONFIG.mel_bands), np.float32)
    f0_hz = np.full(frames, 200, np.float32) if f0_hz is None else f0_hz
    level_db = np.zeros(frames, np.float32)
    shares = np.full((frames, 3), 0.3, np.float32)
    curves = Curve("F0", f0_hz, RED), Curve("level", level_db, RED)
    return [
        Panel("mel", mel),
        CurvePanel("F0", mel, curves[:1]),
        CurvePanel("level", None, curves[1:]),
        StackPanel("shares", ("a", "b", "c"), shares),
    ]


def test_the_picture_of_a_longer_recording_is_wider_up_to_a_limit():
    widths = [picture_of_panels(panels(frames), CONFIG).shape[1] for frames in (7, 500, 1200, 4000)]
    assert widths[0] == widths[1] == 800 < widths[2] < widths[3] == 4000


def test_of_a_long_recording_a_curve_is_its_medians():
    frames = 20_000
    # Every tenth frame is a slip of the F0 estimation.
    f0_hz = np.where(np.arange(frames) % 10 == 0, 400, 100).astype(np.float32)
    mel = np.zeros((frames, CONFIG.mel_bands), np.float32)
    long, short = (
        picture_of_panels([CurvePanel("", mel[:n], (Curve("F0", f0_hz[:n], RED),))], CONFIG) for n in (frames, 500)
    )
    rows = [np.flatnonzero((picture[:, 100:700] == rgb(RED)).all(axis=-1).any(axis=1)) for picture in (long, short)]
    assert np.ptp(rows[0]) < 6 < 60 < np.ptp(rows[1])


@pytest.mark.parametrize("voiced", [0, 1])
def test_a_single_voiced_frame_shows_and_none_is_no_mistake(voiced):
    f0_hz = np.zeros(40, np.float32)
    f0_hz[20 : 20 + voiced] = 200
    mel = np.zeros((40, CONFIG.mel_bands), np.float32)
    found = pixels_of(picture_of_panels([CurvePanel("", mel, (Curve("F0", f0_hz, RED),))], CONFIG)[:, :600], RED)
    assert (found > 0) == bool(voiced)


def test_a_stack_shows_what_is_there_in_colors_of_their_own():
    shares = np.zeros((100, 9), np.float32)
    shares[:, [2, 8]] = 0.5
    picture = picture_of_panels([StackPanel("", tuple("abcdefghi"), shares)], CONFIG)
    shown = [column for column, color in enumerate(DISTINCT_COLORS) if pixels_of(picture, color)]
    assert shown == [2, 8]
    areas = [pixels_of(picture, DISTINCT_COLORS[column]) for column in shown]
    assert 0.8 < areas[0] / areas[1] < 1.25
    assert picture_of_panels([StackPanel("", tuple("abcdefghi"), 0 * shares)], CONFIG).shape == picture.shape


@pytest.mark.parametrize("vision", COLOR_VISIONS)
def test_nine_colors_differ_for_every_color_vision(vision):
    colors = np.array([rgb(color) for color in DISTINCT_COLORS]) / 255
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(COLOR_VISIONS[vision]).T, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(seen @ to_xyz.T / [0.9505, 1, 1.089] + 1e-4).T
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)]
    assert len(distances) == 36 and min(distances) > 7


def test_a_small_picture_is_written(tmp_path):
    draw_small_panel(tmp_path / "$.png", np.zeros((40, CONFIG.mel_bands), np.float32), np.full(40, 200.0), CONFIG)
    assert (tmp_path / "$.png").read_bytes().startswith(b"\x89PNG")


def test_names_are_drawn_as_they_are():
    mel = np.zeros((30, CONFIG.mel_bands), np.float32)
    names = "a$b$\\c$", "$x_1$\udcff", "あ" * 200
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in names:
            shown = [Panel(name, mel), StackPanel(name, (name,), np.ones((30, 1), np.float32))]
            assert picture_of_panels(shown, CONFIG, name).shape[1] == 800
