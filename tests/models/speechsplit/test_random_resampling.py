"""Random resampling: the golden arithmetic is checked in test_parity; here its contracts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evc_jax.errors import ConfigError
from evc_jax.models.speechsplit.random_resampling import Resampling, ResamplingConfig, draw_resampling, random_resample

CONFIG = ResamplingConfig(min_segment_frames=5, max_segment_frames=9, max_length_frames=32, padded_frames=48)


def test_identity_up_to_dropped_ends():
    """At scale 1 each segment loses its last frame, to which it only interpolates."""
    lengths = jnp.array([[8, 6, 8, 7, 8, 8, 8]])
    x = jnp.arange(48.0).reshape(1, 48, 1)
    draws = Resampling(jnp.ones((1, 7)), lengths, jnp.ones(1, bool))
    y = random_resample(x, jnp.array([22]), draws, CONFIG)[0, :, 0]
    expected = [*range(7), *range(8, 13), *range(14, 21)]
    np.testing.assert_array_equal(y[: len(expected)], expected)
    np.testing.assert_array_equal(y[len(expected) :], 0)


def test_draws_are_in_range_and_belong_to_the_sample():
    keys = jax.random.split(jax.random.key(3), 64)
    draws = draw_resampling(keys, CONFIG)
    assert draws.scales.shape == draws.lengths.shape == (64, CONFIG.segments)
    assert draws.scales.min() >= 0.5 and draws.scales.max() < 1.5
    assert draws.lengths.min() == 5 and draws.lengths.max() == 8
    alone = draw_resampling(keys[7:8], CONFIG)
    np.testing.assert_array_equal(alone.scales[0], draws.scales[7])
    np.testing.assert_array_equal(alone.lengths[0], draws.lengths[7])


def test_inactive_samples_stay_as_they_are():
    keys = jax.random.split(jax.random.key(0), 2)
    x = jax.random.normal(jax.random.key(1), (2, 48, 3))
    y = random_resample(x, jnp.full(2, 48), draw_resampling(keys, CONFIG, jnp.array([True, False])), CONFIG)
    assert not np.allclose(y[0], x[0])
    np.testing.assert_array_equal(y[1], x[1])


def test_nothing_beyond_the_length_is_used():
    keys = jax.random.split(jax.random.key(0), 4)
    draws = draw_resampling(keys, CONFIG)
    x = jnp.where(jnp.arange(48)[None, :, None] < 20, 1.0, jnp.nan_to_num(jnp.inf)) * jnp.ones((4, 48, 2))
    y = random_resample(x, jnp.full(4, 20), draws, CONFIG)
    assert y.max() <= 1.0 + 1e-6


def test_gradient_is_the_transposed_map():
    draws = draw_resampling(jax.random.split(jax.random.key(1), 2), CONFIG)
    length = jnp.array([48, 30])
    x, y = jax.random.normal(jax.random.key(2), (2, 2, 48, 3))
    output, pullback = jax.vjp(lambda v: random_resample(v, length, draws, CONFIG), x)
    np.testing.assert_allclose(jnp.vdot(output, y), jnp.vdot(x, pullback(y)[0]), rtol=1e-4)


@pytest.mark.parametrize("bounds", [(0, 5), (5, 5)])
def test_impossible_segments(bounds):
    with pytest.raises(ConfigError, match="expected 0 < min_segment_frames < max_segment_frames"):
        ResamplingConfig(*bounds)
