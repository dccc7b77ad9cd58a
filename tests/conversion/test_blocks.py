"""Stages: what comes out of them block by block is what the whole-file functions return."""

import numpy as np
import pytest
import soxr
from support.tiny_bundles import tone

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import condition, frame_signal, highpass_design
from evc_jax.conversion.blocks import Conditioner, Framer, Resampler, Spool, ZeroPhase, marked

CONFIG = AudioConfig()


def through(stage, x, size):
    """All that a stage returns for x in blocks of this size."""
    return np.concatenate([stage(block, last) for block, last in marked(np.split(x, range(size, len(x), size)))])


def test_the_last_block_is_marked():
    assert list(marked([])) == []
    assert list(marked("a")) == [("a", True)]
    assert list(marked("abc")) == [("a", False), ("b", False), ("c", True)]


@pytest.mark.parametrize("corner_hz", [30.0, 200.0])
@pytest.mark.parametrize("samples", [1, 10, 19, 5000, 60000])
@pytest.mark.parametrize("size", [7, 1600, 100000])
def test_zero_phase_is_filtfilt(corner_hz, samples, size):
    from scipy import signal

    if samples // size > 2000:
        pytest.skip("thousands of tiny blocks")
    x = np.random.default_rng(0).normal(0.3, 0.1, samples)
    sections, padding = highpass_design(5, corner_hz, 16000)
    expected = signal.sosfiltfilt(sections, x, padlen=min(padding, samples - 1))
    np.testing.assert_allclose(through(ZeroPhase(sections, padding), x, size), expected, atol=1e-9)


def test_zero_phase_holds_back_less_than_two_seconds():
    stage = ZeroPhase(*highpass_design(5, 30.0, 16000))
    out = sum(len(stage(np.zeros(1600), False)) for _ in range(100))
    assert 0 < 160000 - out < 32000


@pytest.mark.parametrize("size", [999, 16000])
def test_conditioner_is_condition(size):
    x = tone(2.5)
    np.testing.assert_allclose(through(Conditioner(CONFIG, 3), x, size), condition(x, CONFIG, 3), atol=1e-9)


@pytest.mark.parametrize("window, hop", [(1024, 256), (400, 160), (512, 512)])
@pytest.mark.parametrize("samples", [1, 100, 512, 513, 1600, 4097])
@pytest.mark.parametrize("size", [50, 256, 5000])
def test_framer_is_frame(window, hop, samples, size):
    x = np.arange(samples, dtype=np.float32)
    found = through(Framer(window, hop), x, size)
    np.testing.assert_array_equal(found, frame_signal(x, window, hop))


def test_framer_pads_with_zeros_when_told_to():
    x = np.ones(1000, np.float32)
    padded = np.pad(x, 200)
    expected = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160]
    np.testing.assert_array_equal(through(Framer(400, 160, "constant"), x, 170), expected)


@pytest.mark.parametrize("from_hz, to_hz", [(44100, 16000), (8000, 16000), (16000, 16000)])
def test_resampler_is_resample(from_hz, to_hz):
    x = tone(1, from_hz)
    expected = x if from_hz == to_hz else soxr.resample(x, from_hz, to_hz, quality="HQ")
    np.testing.assert_array_equal(through(Resampler(from_hz, to_hz), x, 5000), expected)


def test_spool_returns_what_was_appended(tmp_path):
    with Spool(np.dtype([("a", "f4"), ("b", "?")]), tmp_path) as spool:
        values = np.zeros(100, [("a", "f4"), ("b", "?")])
        values["a"], values["b"] = np.arange(100), np.arange(100) % 3 == 0
        for part in np.split(values, [0, 10, 55]):
            spool.append(part)
        first, second = spool.read(33), spool.read(7)
        mixed = [next(first), next(second), *first, *second]
        assert spool.length == 100 and len(next(spool.read())) == 100
        assert list(tmp_path.iterdir()) == []  # it has no name
    np.testing.assert_array_equal(np.concatenate([mixed[0], *mixed[2:5]]), values)
    np.testing.assert_array_equal(np.concatenate([mixed[1], *mixed[5:]]), values)
