"""In the picture of a conversion the same sounds stand below each other."""

import numpy as np
import pytest
from support.tiny_bundles import tone

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.plotting import StackPanel
from evc_jax.conversion.picture import conversion_panels
from evc_jax.conversion.result import Conversion
from evc_jax.features import time_warp
from evc_jax.features.extract import extract

CONFIG = AudioConfig()
NAMES = ("neutral", "happy", "sad")


@pytest.fixture(scope="module")
def source():
    return extract(tone(2.0), 16000, CONFIG, lambda voice: np.ones(4, np.float32))


def converted(source, positions, samples, louder_db=0.0, octaves=0.0, weights=None):
    """A conversion that renders these positions of the source, which are by the rate alone where they are None."""
    mapping = np.arange(samples // CONFIG.hop_samples + 1) * 2.0 if positions is None else positions
    mel = time_warp.warp(source.mel, mapping) + np.float32(louder_db / CONFIG.range_db)
    made = Conversion(np.zeros(samples, np.float32), 16000, mel, source.embedding, source, CONFIG, positions, weights)
    vars(made)["f0_hz"] = time_warp.warp_f0(source.f0_hz, mapping) * np.float32(2**octaves)
    return made


def slowing(source):
    """Positions that pass the source's first half quickly and the second slowly."""
    frames = len(source.mel)
    return (frames - 1) * np.sqrt(np.linspace(0, 1, frames))


def test_the_source_is_moved_to_where_the_result_renders_it(source):
    made = converted(source, slowing(source), len(source.audio), louder_db=6, octaves=1)
    above, below, melodies, levels = conversion_panels(made, NAMES, "out")
    assert above.title == "source, moved to the times of the result" and below.title == "out"
    np.testing.assert_allclose(above.mel, below.mel - 0.06, atol=1e-6)
    before, after = (curve.values for curve in melodies.curves)
    np.testing.assert_allclose(after, 2 * before, rtol=1e-6)
    assert before.any() and [curve.label for curve in melodies.curves] == ["source", "result"]
    quiet, loud = (curve.values for curve in levels.curves)
    np.testing.assert_allclose(loud - quiet, 6, atol=1e-3)
    assert np.percentile(quiet, 90) == pytest.approx(0, abs=1e-3)


def test_without_positions_the_rate_says_where(source):
    made = converted(source, None, len(source.audio) // 2)
    above, below, *_ = conversion_panels(made, NAMES, "out")
    np.testing.assert_allclose(above.mel, below.mel, atol=1e-6)
    assert len(above.mel) == len(made.mel)


def test_what_keeps_its_clock_is_not_moved(source):
    made = converted(source, np.arange(len(source.mel)) * 1.0, len(source.audio))
    above = conversion_panels(made, NAMES, "out")[0]
    assert above.title == "source"
    np.testing.assert_array_equal(above.mel, source.mel)


def test_the_emotion_is_at_the_times_of_the_result(source):
    weights = np.zeros((len(source.mel), 3), np.float32)
    weights[len(weights) // 2 :, 1] = 1.5
    made = converted(source, slowing(source), len(source.audio), weights=weights)
    stack = conversion_panels(made, NAMES, "out")[-1]
    assert isinstance(stack, StackPanel) and stack.names == NAMES
    begin = np.flatnonzero(stack.shares[:, 1] > 0.75)[0]
    assert begin == pytest.approx(len(weights) / 4, abs=1)  # a half squared
    assert not any(
        isinstance(panel, StackPanel) for panel in conversion_panels(converted(source, None, 8000), NAMES, "")
    )
