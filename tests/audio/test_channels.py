"""Mono versions of recordings whose channels do not belong together."""

import numpy as np
import pytest
from support.golden_features import voice

from evc_jax.audio.channels import ChannelStatistics
from evc_jax.audio.io import to_mono

RATE_HZ = 16000
GENERATOR = np.random.default_rng(0)
ENVELOPE = np.clip(np.sin(2 * np.pi * 2 * np.arange(2 * RATE_HZ) / RATE_HZ), 0.001, 1)
SPEECH = (voice(130, 2.0) * ENVELOPE).astype(np.float32)
NOISE = GENERATOR.standard_normal(len(SPEECH)).astype(np.float32)
HUM = np.sin(2 * np.pi * 50 * np.arange(len(SPEECH)) / RATE_HZ).astype(np.float32)


def stereo(*channels):
    return np.stack(channels, axis=1)


@pytest.mark.parametrize(
    "channels",
    [
        (SPEECH, -SPEECH),
        (SPEECH, -0.9 * SPEECH),
        (-0.5 * SPEECH, SPEECH),
        (SPEECH, 0.3 - SPEECH),
        (SPEECH, -SPEECH, SPEECH, -SPEECH),
        (SPEECH, 0.003 * NOISE),
        (0.5 * NOISE, SPEECH),
        (0.4 * HUM, SPEECH),
    ],
)
def test_the_speech_is_found(channels):
    np.testing.assert_array_equal(to_mono(stereo(*channels), RATE_HZ, RATE_HZ), SPEECH)


def test_hum_in_phase_does_not_hide_that_speech_cancels():
    mono = to_mono(stereo(SPEECH + 0.02 * HUM, 0.02 * HUM - SPEECH), RATE_HZ, RATE_HZ)
    assert abs(np.corrcoef(mono, SPEECH)[0, 1]) > 0.9


@pytest.mark.parametrize(
    "other",
    [
        SPEECH,
        0.3 * SPEECH,
        np.roll(SPEECH, 20),
        np.zeros_like(SPEECH),
        SPEECH + 0.01 * NOISE,
        (voice(210, 2.0) * ENVELOPE[::-1]).astype(np.float32),
    ],
)
def test_ordinary_stereo_is_the_plain_mean(other):
    both = stereo(SPEECH, other)
    np.testing.assert_array_equal(to_mono(both, RATE_HZ, RATE_HZ), both.mean(axis=1))


@pytest.mark.parametrize("block", [1000, 7777])
def test_blocks_are_weighed_as_the_whole(block):
    both = stereo(0.5 * NOISE, SPEECH)
    statistics = ChannelStatistics(2, RATE_HZ)
    for start in range(0, len(both), block):
        statistics.add(both[start : start + block])
    assert statistics.best_channel() == 1
    assert ChannelStatistics(2, RATE_HZ).best_channel() is None


def test_a_block_may_be_shorter_than_a_frame():
    samples = np.random.default_rng(0).normal(size=(16010, 2))
    whole, blocks = ChannelStatistics(2, 16000), ChannelStatistics(2, 16000)
    whole.add(samples)
    for block in (samples[:10], samples[10:16000], samples[16000:]):
        blocks.add(block)
    assert blocks.best_channel() == whole.best_channel()
    assert blocks.offset(None) == pytest.approx(whole.offset(None))
