"""SpeechSplit and the F0 converter: shapes, what each code depends on, errors, size."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evc_jax.errors import ConfigError
from evc_jax.models.network import Network
from evc_jax.models.speechsplit.config import EncoderConfig, F0ConverterConfig, SpeechSplitConfig
from evc_jax.models.speechsplit.network import NO_F0, F0Converter, SpeechSplit
from evc_jax.models.speechsplit.random_resampling import ResamplingConfig, draw_resampling

TINY = SpeechSplitConfig(
    content=EncoderConfig(width=8, neck=2, factor=4, lstm_layers=2),
    rhythm=EncoderConfig(width=4, neck=1, factor=2, blocks=1),
    pitch=EncoderConfig(width=8, neck=3, factor=8),
    mel_bands=6,
    f0_classes=9,
    embedding_channels=5,
    decoder_width=7,
    decoder_layers=1,
    group_channels=4,
    resampling=ResamplingConfig(3, 6, 12, 16),
)
TINY_CONVERTER = F0ConverterConfig(
    rhythm=TINY.rhythm,
    pitch=TINY.pitch,
    mel_bands=6,
    f0_classes=9,
    decoder_width=7,
    decoder_layers=1,
    group_channels=4,
    resampling=TINY.resampling,
)
BATCH, FRAMES = 2, 16


@pytest.fixture(scope="module")
def network():
    return Network(SpeechSplit, TINY)


@pytest.fixture(scope="module")
def apply(network):
    return jax.jit(network.apply, static_argnames="method")


@pytest.fixture(scope="module")
def params(network):
    return network.init(jax.random.key(0))


@pytest.fixture(scope="module")
def inputs():
    mel = jax.random.uniform(jax.random.key(1), (BATCH, FRAMES, 6))
    f0 = jax.random.randint(jax.random.key(2), (BATCH, FRAMES), 0, TINY.f0_classes)
    return mel, f0, jax.random.uniform(jax.random.key(3), (BATCH, 5))


def draw(seed, blocks=3):
    keys = jax.random.split(jax.random.key(seed), (blocks, BATCH))
    return tuple(draw_resampling(row, TINY.resampling) for row in keys)


def test_shapes_with_a_factor_per_encoder(apply, params, inputs):
    mel, f0, embedding = inputs
    codes = apply(params, mel, f0, method="encode")
    assert codes.content.shape == (BATCH, FRAMES // 4, 4)
    assert codes.rhythm.shape == (BATCH, FRAMES // 2, 2)
    assert codes.pitch.shape == (BATCH, FRAMES // 8, 6)
    assert apply(params, codes, embedding, method="decode").shape == mel.shape


def test_call_is_decode_of_encode(apply, params, inputs):
    mel, f0, embedding = inputs
    codes = apply(params, mel, f0, method="encode")
    expected = apply(params, codes, embedding, method="decode")
    np.testing.assert_allclose(apply(params, mel, f0, embedding), expected, atol=1e-6)


def test_classes_and_their_one_hot_are_the_same(apply, params, inputs):
    mel, f0, embedding = inputs
    one_hot = jax.nn.one_hot(f0, TINY.f0_classes)
    np.testing.assert_array_equal(apply(params, mel, f0, embedding), apply(params, mel, one_hot, embedding))
    without = apply(params, mel, jnp.full_like(f0, NO_F0), embedding)
    np.testing.assert_array_equal(without, apply(params, mel, 0 * one_hot, embedding))
    assert not np.array_equal(without, apply(params, mel, f0, embedding))


def test_resampling_spares_rhythm_alone(apply, params, inputs):
    mel, f0, _ = inputs
    plain = apply(params, mel, f0, method="encode")
    resampled = apply(params, mel, f0, mel, draw(5), method="encode")
    np.testing.assert_array_equal(plain.rhythm, resampled.rhythm)
    assert np.abs(plain.content - resampled.content).max() > 1e-4
    assert np.abs(plain.pitch - resampled.pitch).max() > 1e-4


def test_samples_of_a_batch_are_independent(apply, params, inputs):
    mel, f0, embedding = inputs
    draws = draw(6)
    whole = apply(params, mel, f0, embedding, mel, draws)
    first = jax.tree.map(lambda a: a[:1], (mel, f0, embedding, mel, draws))
    np.testing.assert_allclose(whole[:1], apply(params, *first), atol=1e-6)


def test_every_weight_is_trained(apply, params, inputs):
    """A weight without a gradient is a part that is not connected; biases before the norms nearly cancel."""
    mel, f0, embedding = inputs
    draws = draw(7)
    grads = jax.jit(jax.grad(lambda p: jnp.mean((apply(p, mel, f0, embedding, mel, draws) - mel) ** 2)))(params)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))


def test_bfloat16_stays_near_float32(apply, params, inputs):
    half = Network(SpeechSplit, dataclasses.replace(TINY, dtype="bfloat16"))
    output = jax.jit(half.apply)(params, *inputs)
    assert output.dtype == jnp.float32
    np.testing.assert_allclose(output, apply(params, *inputs), atol=0.05)


def test_f0_converter(inputs):
    mel, f0, _ = inputs
    network = Network(F0Converter, TINY_CONVERTER)
    params, apply = network.init(jax.random.key(0)), jax.jit(network.apply)
    logits = apply(params, mel, f0)
    assert logits.shape == (BATCH, FRAMES, TINY.f0_classes)
    assert np.abs(logits - apply(params, mel, f0, draw(1))).max() > 1e-5


def test_full_size():
    """Counted from the shapes of the authors' modules."""
    assert Network(SpeechSplit, SpeechSplitConfig()).count() == 20_150_504
    assert Network(F0Converter, F0ConverterConfig()).count() == 3_485_849


def test_refuses_other_lengths(apply, params):
    with pytest.raises(ConfigError, match="has 12 frames; pad it to a multiple of 8"):
        apply(params, jnp.zeros((1, 12, 6)), jnp.zeros((1, 12), int), method="encode")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": 4}, "kernel is 4; use an odd number"),
        ({"group_channels": 16}, "use a multiple of group_channels"),
        ({"pitch": EncoderConfig(width=8, neck=3, blocks=2)}, "they run side by side and must be equal"),
        ({"decoder_width": 0}, "decoder_width is 0; expected at least 1"),
    ],
)
def test_config_errors(change, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TINY, **change)
