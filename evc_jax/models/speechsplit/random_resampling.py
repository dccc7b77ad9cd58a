"""Random resampling in time: SpeechSplit's information bottleneck on rhythm (arXiv 2004.11284, section 3.3).

A sequence is cut into segments of random length, each is stretched or squeezed by a random factor with linear
interpolation, and the result is padded or cut to a fixed length.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from evc_jax.errors import ConfigError
from evc_jax.models.network import pytree_dataclass

MIN_SCALE = 0.5
SCALE_RANGE = 1.0


@dataclasses.dataclass(frozen=True)
class ResamplingConfig:
    """How sequences are cut and what comes out.

    Attributes:
      min_segment_frames: shortest segment.
      max_segment_frames: exclusive upper bound of a segment's length.
      max_length_frames: longest crop used in training; fixes how many segments are drawn.
      padded_frames: length of the result.
    """

    min_segment_frames: int = 19
    max_segment_frames: int = 32
    max_length_frames: int = 128
    padded_frames: int = 192

    def __post_init__(self):
        if not 0 < self.min_segment_frames < self.max_segment_frames:
            raise ConfigError(
                f"min_segment_frames is {self.min_segment_frames} and max_segment_frames {self.max_segment_frames}; "
                "expected 0 < min_segment_frames < max_segment_frames."
            )
        if self.max_length_frames < 1 or self.padded_frames < 1:
            raise ConfigError(
                f"max_length_frames is {self.max_length_frames} and padded_frames {self.padded_frames}; "
                "both must be at least 1."
            )

    @property
    def segments(self) -> int:
        """Number of segments drawn per sequence."""
        return self.max_length_frames // self.min_segment_frames + 1


@pytree_dataclass
class Resampling:
    """The random draws for a batch: stretch factor and length in frames of each segment.

    Attributes:
      scales, lengths: of the segments.
      active: samples for which this is False stay as they are.
    """

    scales: Float[Array, "B N"]
    lengths: Int[Array, "B N"]
    active: Bool[Array, " B"]


def draw_resampling(
    keys: Key[Array, " B"], config: ResamplingConfig, active: Bool[Array, " B"] | None = None
) -> Resampling:
    """Draws one resampling per sample from its own key, so that results do not depend on how a batch is split.

    Args:
      keys: one per sample.
      config: how to cut.
      active: which samples to resample; all of them if None.
    """

    def draw(key):
        scale_key, length_key = jax.random.split(key)
        scales = jax.random.uniform(scale_key, (config.segments,)) * SCALE_RANGE + MIN_SCALE
        bounds = (config.min_segment_frames, config.max_segment_frames)
        return scales, jax.random.randint(length_key, (config.segments,), *bounds)

    scales, lengths = jax.vmap(draw)(keys)
    return Resampling(scales, lengths, jnp.ones(keys.shape, bool) if active is None else active)


def random_resample(
    x: Float[Array, "B T C"], length: Int[Array, " B"], resampling: Resampling, config: ResamplingConfig
) -> Float[Array, "B P C"]:
    """Resamples each sequence by the segments of `resampling`.

    Args:
      x: sequences, padded to a common T.
      length: frames of each sequence that count; the last one is only interpolated towards.
      resampling: the draws, from `draw_resampling`.
      config: P is its `padded_frames`.

    Returns:
      the stretched segments one after the other, then zeros; a sample that is not active as it is, padded or cut.
    """
    interpolation = functools.partial(_interpolation, frames=x.shape[1], config=config)
    weights = jax.vmap(interpolation)(length, resampling.scales, resampling.lengths)
    weights = jnp.where(resampling.active[:, None, None], weights, jnp.eye(config.padded_frames, x.shape[1]))
    # Rows of the matrix hold two weights each. A product beats gather here: the gradient of a gather is a scatter,
    # which is slow on CPU and TPU and not reproducible on a GPU.
    return jnp.einsum("bpt,btc->bpc", weights.astype(x.dtype), x, precision=lax.Precision.HIGHEST)


def _interpolation(length: Array, scales: Array, lengths: Array, frames: int, config: ResamplingConfig) -> Array:
    """The interpolation of one sequence, whose draws are [N], as a matrix [P, T]."""
    offsets = jnp.cumsum(lengths) - lengths
    positions = jnp.arange(2 * config.max_segment_frames, dtype=jnp.float32)
    whole = jnp.floor(positions[None, :] / scales[:, None])  # [N, J]
    kept = (whole < lengths[:, None] - 1) & (whole + offsets[:, None] < length - 1)
    ends = jnp.cumsum(kept.sum(axis=1))

    output = jnp.arange(config.padded_frames)
    segment = jnp.minimum(jnp.searchsorted(ends, output, side="right", method="compare_all"), len(ends) - 1)
    start = jnp.where(segment > 0, ends[segment - 1], 0)
    position = (output - start).astype(jnp.float32) / scales[segment]
    lower = jnp.floor(position)
    fraction = (position - lower)[:, None]
    source = (lower.astype(jnp.int32) + offsets[segment])[:, None]

    column = jnp.arange(frames)[None, :]
    rows = jnp.where(column == source, 1.0 - fraction, 0.0) + jnp.where(column == source + 1, fraction, 0.0)
    return jnp.where((output < ends[-1])[:, None], rows, 0.0)
