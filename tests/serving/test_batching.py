"""Requests share calls, each gets its own rows, and nobody waits for ever."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.tiny_bundles import tone

from evc_jax.audio.chunking import split_windows
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.engine import concatenate
from evc_jax.conversion.options import ConversionOptions
from evc_jax.features.f0_codes import log_f0_statistics
from evc_jax.pretrained.bundle import load_bundle
from evc_jax.serving import deadline
from evc_jax.serving.admission import Cores
from evc_jax.serving.batching import PART_WINDOWS, Batcher, BatchingRecoder


def slowly(x, y):
    time.sleep(0.05)
    return 2 * x + y


def ask(batcher, requests):
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda rows: batcher(rows, rows), requests))


@pytest.fixture
def batcher(request):
    sizes = []
    batcher = Batcher(getattr(request, "param", slowly), 20, 16, sizes.append)
    batcher.sizes = sizes
    yield batcher
    batcher.close()


def test_each_gets_its_own_rows(batcher):
    requests = [np.full((1 + i % 3, 2), float(i)) for i in range(20)]
    for rows, result in zip(requests, ask(batcher, requests), strict=True):
        np.testing.assert_array_equal(result, 3 * rows)
    assert sum(batcher.sizes) == sum(map(len, requests))
    assert len(batcher.sizes) < len(requests) / 2
    assert max(batcher.sizes) <= PART_WINDOWS


def test_alone_one_does_not_wait_for_long(batcher):
    started = time.perf_counter()
    batcher(np.ones((1, 1)), np.ones((1, 1)))
    assert time.perf_counter() - started < 1
    assert batcher.sizes == [1]


def test_one_for_each_call(batcher):
    single = Batcher(slowly, 20, 1, batcher.sizes.append)
    ask(single, [np.ones((1, 1))] * 4)
    single.close()
    assert batcher.sizes == [1] * 4


def fail(x, y):
    raise ValueError("the device is on fire")


@pytest.mark.parametrize("batcher", [fail], indirect=True)
def test_errors_reach_whoever_waits(batcher):
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(batcher, np.ones((1, 1)), np.ones((1, 1))) for _ in range(3)]
    for future in futures:
        with pytest.raises(ValueError, match="on fire"):
            future.result()


def test_closing_finishes_what_waits():
    batcher = Batcher(slowly, 20, 1, lambda rows: None)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(batcher, np.ones((1, 1)), np.ones((1, 1))) for _ in range(4)]
        time.sleep(0.03)
        batcher.close()
    assert all(future.result() == 3 for future in futures)


@pytest.fixture(scope="module")
def windows(tiny_bundle):
    """A converter, and the windows of three requests with different options."""
    converter = Converter(load_bundle(tiny_bundle))
    inputs = []
    for i, emotion in enumerate((None, "happy", "sad")):
        features = converter.extract(tone(0.6 + 1.5 * i, f0_hz=120 + 60 * i, seed=i), 16000)
        cut, statistics = (
            (split_windows(features.mel), split_windows(features.f0_hz)),
            log_f0_statistics(features.f0_hz),
        )
        inputs.append(converter.window_inputs(*cut, features.embedding, statistics, ConversionOptions(emotion=emotion)))
    return converter, inputs


@pytest.mark.parametrize("exact", [True, False])
def test_sharing_changes_nothing_but_rounding(windows, exact):
    converter, inputs = windows
    requests = [inputs[2], inputs[2], inputs[1], inputs[0], inputs[2]]  # of 2, 2, 1, 1 and 2 windows
    sizes, cores = [], Cores(len(requests))
    engine = BatchingRecoder(converter.bundle, 1000, 16, exact, cores, sizes.append)

    def convert(each):
        with cores:
            return engine.convert(each)

    with ThreadPoolExecutor(len(requests)) as pool:
        results = list(pool.map(convert, requests))
    for each, result in zip(requests, results, strict=True):
        np.testing.assert_allclose(result, converter.engine.convert(each), rtol=0, atol=0 if exact else 1e-5)
    assert sum(sizes) == 8
    assert max(sizes) == (4 if exact else 8)
    voiced, classes = np.ones((1, 192), bool), inputs[0].f0[:1]
    with cores:
        moved = engine.move_pitch(inputs[0].mel[:1], voiced, classes)
    np.testing.assert_array_equal(moved, converter.engine.move_pitch(inputs[0].mel[:1], voiced, classes))
    engine.close()
    assert cores.busy == 0


def test_a_long_recording_is_cut_and_stops_at_its_deadline(windows):
    converter, inputs = windows
    sizes, cores = [], Cores(1)
    engine = BatchingRecoder(converter.bundle, 0, 16, True, cores, sizes.append)
    long = concatenate([inputs[1]] * (PART_WINDOWS + 3))
    with cores:
        np.testing.assert_array_equal(engine.convert(long), converter.engine.convert(long))
        assert sizes[0] == PART_WINDOWS and sum(sizes) == len(long)
        with deadline.until(time.monotonic() - 1), pytest.raises(deadline.ExpiredError):
            engine.convert(long)
    assert cores.busy == 0
    engine.close()


def test_deadlines_are_of_one_thread():
    with deadline.until(time.monotonic() - 1):
        other = threading.Thread(target=deadline.check)
        other.start()
        other.join()
        with pytest.raises(deadline.ExpiredError):
            deadline.check()
    deadline.check()
