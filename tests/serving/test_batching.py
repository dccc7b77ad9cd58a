"""Requests share calls, each gets its own windows, and no request waits for ever."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.tiny_bundles import tiny_converter, tone

from evc_jax.audio.chunking import split_windows
from evc_jax.conversion.engine import BATCH_SIZES, ConversionEngine, WindowInputs, concatenate
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.windows import window_inputs
from evc_jax.features.f0_codes import log_f0_statistics
from evc_jax.serving.admission import Admission, ExpiredError
from evc_jax.serving.batching import BatchingEngine


def numbered(count, value):
    """So many windows whose content is a number."""
    mel = np.full((count, 192, 80), value, np.float32)
    rest = np.zeros((count, 192), np.int32), np.zeros((count, 256), np.float32), np.zeros((count, 192, 3), np.float32)
    return WindowInputs(mel, mel, *rest, np.zeros((count, 192), np.float32), np.zeros(count, np.float32))


def convert_all(engine, requests):
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(engine.convert, requests))


@pytest.fixture
def make_engine(monkeypatch):
    """Makes engines that double the mel slowly and count the windows of each call."""

    def double(self, inputs):
        time.sleep(0.05)
        if inputs.mel.min() < 0:
            raise ValueError("the device is on fire")
        return 2 * inputs.mel

    engines = []

    def make(wait_ms=20, max_batch=16):
        sizes = []
        engines.append(BatchingEngine(tiny_converter().bundle, wait_ms, max_batch, sizes.append))
        return engines[-1], sizes

    monkeypatch.setattr(ConversionEngine, "convert", double)
    yield make
    for engine in engines:
        engine.close()
        assert not engine._thread.is_alive()


def test_each_gets_its_own_windows(make_engine):
    engine, sizes = make_engine()
    requests = [numbered(2 + i % 3, i) for i in range(20)]
    for each, result in zip(requests, convert_all(engine, requests), strict=True):
        np.testing.assert_array_equal(result, 2 * each.mel)
    assert sum(sizes) == sum(map(len, requests))
    assert len(sizes) < len(requests)
    assert max(sizes) == 4


def test_a_single_request_does_not_wait_for_long(make_engine):
    engine, sizes = make_engine()
    started = time.perf_counter()
    engine.convert(numbered(1, 1))
    assert time.perf_counter() - started < 1
    assert sizes == [1]


def test_one_request_for_each_call(make_engine):
    engine, sizes = make_engine(max_batch=1)
    convert_all(engine, [numbered(2, 1)] * 4)
    assert sizes == [2] * 4


def test_errors_reach_the_threads_that_wait(make_engine):
    engine, _ = make_engine()
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(engine.convert, numbered(1, -1)) for _ in range(3)]
    for future in futures:
        with pytest.raises(ValueError, match="on fire"):
            future.result()
    engine.convert(numbered(1, 1))


@pytest.mark.parametrize("max_batch", [1, 16])
def test_closing_finishes_what_waits(make_engine, max_batch):
    engine, _ = make_engine(max_batch=max_batch)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(engine.convert, numbered(6, 1)) for _ in range(4)]
        time.sleep(0.03)
        closing = threading.Thread(target=engine.close)
        closing.start()
    closing.join()
    assert all((future.result() == 2).all() for future in futures)


def test_a_long_recording_is_cut_and_stops_at_its_deadline(make_engine):
    engine, sizes = make_engine(wait_ms=0)
    long = numbered(2 * BATCH_SIZES[-1] + 3, 1)
    np.testing.assert_array_equal(engine.convert(long), 2 * long.mel)
    assert sizes == [BATCH_SIZES[-1], BATCH_SIZES[-1], 3]
    with pytest.raises(ExpiredError), Admission(1, timeout_s=0.02).enter().working():
        engine.convert(long)
    assert sizes[3:] == [BATCH_SIZES[-1]]


def test_sharing_changes_no_bit():
    converter, requests, sizes = tiny_converter(), [], []
    for i, emotion in enumerate((None, "happy", "sad")):
        features = converter.extract(tone(0.6 + 0.5 * i, f0_hz=120 + 60 * i, seed=i), 16000)
        windows = split_windows(features.mel), split_windows(features.f0_hz)
        statistics, options = log_f0_statistics(features.f0_hz), ConversionOptions(emotion=emotion)
        weights = converter.emotion_weights(options, np.zeros(len(features.mel)))
        inputs = window_inputs(
            converter.engine, converter.bundle.audio, *windows, features.embedding, statistics, options, weights
        )
        requests += [concatenate([inputs] * count) for count in (1, 2, 5)]
    engine = BatchingEngine(converter.bundle, wait_ms=1000, on_batch=sizes.append)
    for each, result in zip(requests, convert_all(engine, requests), strict=True):
        np.testing.assert_array_equal(result, converter.engine.convert(each))
    engine.close()
    # The emotions share a call; a window that fills its program, and the recording without an emotion, do not.
    assert sorted(sizes) == [1, 1, 1, 2, 4, 5, 10]
