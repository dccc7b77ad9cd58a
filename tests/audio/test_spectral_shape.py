"""Whitening and coloring: exact inverses with the log-determinant of their gains, and noise that has the mel."""

import numpy as np
import pytest
from support.tiny_bundles import tone

from evc_jax.audio import spectral_shape
from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import log_mel
from evc_jax.evaluation.metrics import mel_l1

CONFIG = AudioConfig()


def analyse(frames):
    """A sound of whole hops, and its mel without the frame after the last one."""
    sound = tone(3)[: frames * CONFIG.hop_samples]
    return sound, log_mel(sound, CONFIG)[:frames]


def draw_noise(frames):
    return np.random.default_rng(0).standard_normal(frames * CONFIG.hop_samples).astype(np.float32)


@pytest.mark.parametrize("frames", [1, 2, 100])
def test_coloring_undoes_whitening(frames):
    sound, mel = analyse(frames)
    gains = spectral_shape.log_gains(mel, CONFIG)
    assert gains.shape == (frames, CONFIG.hop_samples)
    whitened = spectral_shape.whiten(sound, gains)
    assert 0.3 < whitened.std() < 3 and np.abs(whitened - sound).max() > 0.1
    error = np.square(spectral_shape.color(whitened, gains) - sound).sum()
    assert 10 * np.log10(np.square(sound).sum() / error) > 100


def test_the_log_determinant_is_the_sum_of_the_log_gains():
    config = AudioConfig(hop_samples=16, window_samples=64, mel_bands=4)
    gains = spectral_shape.log_gains(np.random.default_rng(0).uniform(0.3, 0.9, (5, 4)), config)
    columns = [spectral_shape.whiten(unit, gains) for unit in np.eye(gains.size, dtype=np.float32)]
    np.testing.assert_allclose(np.linalg.slogdet(np.array(columns, np.float64))[1], -gains.sum(), rtol=1e-5)


def test_a_piece_with_its_margin_is_whitened_as_in_the_whole():
    sound, mel = analyse(40)
    hop, margin = CONFIG.hop_samples, spectral_shape.MARGIN_BLOCKS
    whole = spectral_shape.whiten(sound, spectral_shape.log_gains(mel, CONFIG))
    piece = slice(10 - margin, 20 + margin)
    gains = spectral_shape.log_gains(mel[piece], CONFIG)
    cut = spectral_shape.whiten(sound[piece.start * hop : piece.stop * hop], gains)[margin * hop :][: 10 * hop]
    np.testing.assert_allclose(cut, whole[10 * hop : 20 * hop], atol=1e-5)


def test_colored_noise_has_the_mel_and_comes_nearer_to_it():
    sound, mel = analyse(150)
    whisper = spectral_shape.color(draw_noise(150), spectral_shape.log_gains(mel, CONFIG))
    assert abs(np.mean(log_mel(whisper, CONFIG)[:150] - mel)) < 0.025
    assert mel_l1(sound, whisper, CONFIG) < 0.05
    nearer = spectral_shape.approach_mel(0.7 * whisper, mel, CONFIG)
    assert mel_l1(sound, nearer, CONFIG) < 0.6 * mel_l1(sound, whisper, CONFIG)
