"""Windows through the networks: batches, options of each window, and independence of what shares a call."""

import numpy as np
import pytest
from support.tiny_bundles import tiny_converter, tone, write_bundle

from evc_jax.audio.chunking import split_windows
from evc_jax.conversion import engine
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.windows import window_inputs
from evc_jax.errors import BundleError
from evc_jax.features.f0_codes import log_f0_statistics


@pytest.fixture(scope="module")
def converter():
    return tiny_converter()


def inputs_of(converter, options, seed=0):
    features = converter.extract(tone(2.0, f0_hz=110 + 30 * seed, seed=seed), 16000)
    embedding = converter.requested_voice(features.embedding, options)
    statistics = log_f0_statistics(features.f0_hz)
    mel, f0_hz = split_windows(features.mel), split_windows(features.f0_hz)
    weights = converter.emotion_weights(options, np.zeros(len(features.mel)))
    inputs = window_inputs(
        converter.engine, converter.bundle.audio, mel, f0_hz, embedding, statistics, options, weights
    )
    return inputs, (mel, f0_hz, embedding, statistics)


@pytest.fixture(scope="module")
def requests(converter):
    options = (
        ConversionOptions(),
        ConversionOptions(emotion="happy"),
        ConversionOptions(emotion="sad", strength=0.5, voice="sampled:male"),
        ConversionOptions(pitch_shift=3, flatten_pitch=1),
    )
    return [inputs_of(converter, each, seed)[0] for seed, each in enumerate(options)]


def test_batches_cover_every_window_once():
    for count in (1, 2, 4, 5, 16, 17, 40):
        batches = list(engine.batches(count))
        assert [i for windows, _ in batches for i in range(count)[windows]] == list(range(count))
        assert all(len(range(count)[windows]) <= size for windows, size in batches)


def test_requests_that_share_a_call_are_independent(converter, requests):
    together = converter.engine.convert(engine.concatenate(requests))
    alone = [converter.engine.convert(request) for request in requests]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=2e-6)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3


def test_the_order_in_a_batch_changes_no_bit(converter, requests):
    forwards = converter.engine.convert(engine.concatenate(requests))
    backwards = converter.engine.convert(engine.concatenate(requests[::-1]))
    sizes = [len(request) for request in requests]
    backwards = np.split(backwards, np.cumsum(sizes[::-1])[:-1])
    np.testing.assert_array_equal(np.concatenate(backwards[::-1]), forwards)


def test_other_options_compile_nothing_anew(converter, requests):
    convert = converter.engine._convert
    converter.engine.convert(engine.concatenate(requests))
    before = convert._cache_size()
    converter.engine.convert(engine.concatenate(requests[::-1]))
    converter.engine.convert(engine.concatenate([requests[1], requests[2], requests[1]]))
    assert convert._cache_size() == before


def test_a_window_without_strength_keeps_its_codes(converter):
    plain, _ = inputs_of(converter, ConversionOptions())
    weak, _ = inputs_of(converter, ConversionOptions(emotion="happy", strength=0))
    strong, _ = inputs_of(converter, ConversionOptions(emotion="happy"))
    mixed = converter.engine.convert(engine.concatenate([weak, strong]))
    np.testing.assert_allclose(mixed[: len(weak)], converter.engine.convert(plain), atol=2e-6)


def test_the_pitch_gain_is_the_references_fake_neutral(converter):
    assert (inputs_of(converter, ConversionOptions())[0].pitch_gain == 1).all()
    np.testing.assert_allclose(inputs_of(converter, ConversionOptions(flatten_pitch=1))[0].pitch_gain, 0.1)


def test_pitch_moves_only_with_an_f0_converter(converter, tmp_path):
    request, _ = inputs_of(converter, ConversionOptions())
    voiced = np.random.default_rng(0).random(request.f0.shape) < 0.5
    moved = converter.engine.move_pitch(request.mel, voiced, request.f0)
    assert moved.shape == request.f0.shape and moved.max() < 257
    np.testing.assert_array_equal(moved > 0, voiced)
    poor = Converter.load(write_bundle(tmp_path / "b", names=("speechsplit",)))
    with pytest.raises(BundleError, match="has no f0_converter network"):
        poor.engine.move_pitch(request.mel, voiced, request.f0)
