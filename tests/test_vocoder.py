"""Vocoders: lengths, reproducibility, and WaveGlow in chunks against WaveGlow in one piece."""

import dataclasses

import jax
import numpy as np
import pytest

from evc_jax import audio, vocoder
from evc_jax.audio import AudioConfig
from evc_jax.bundle import load_bundle
from evc_jax.errors import BundleError
from evc_jax.evaluation.metrics import mel_l1
from bundles import tiny_bundle, tone, write_bundle  # noqa: F401

CONFIG = AudioConfig()


def mel_of(samples):
    return np.clip(audio.log_mel(samples, CONFIG), 0, 1)


@pytest.mark.parametrize("samples", [1600, 4000, 16000, 16000 + 255, 16000 + 256, 40001])
def test_griffin_lim_has_the_length_of_the_source(samples):
    source = tone(3)[:samples]
    assert vocoder.griffin_lim(mel_of(source), CONFIG, length=samples, iterations=2).shape == (samples,)


def test_griffin_lim_comes_close_to_the_mel_and_the_level():
    source = tone(2)
    rebuilt = vocoder.griffin_lim(mel_of(source), CONFIG, length=len(source))
    assert mel_l1(source, rebuilt, CONFIG) < 0.03
    assert 0.7 < np.std(rebuilt) / np.std(source) < 1.2


def test_griffin_lim_is_reproducible_by_seed():
    mel = mel_of(tone(0.5))
    first, same, other = (vocoder.griffin_lim(mel, CONFIG, length=8000, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-3


def test_linear_magnitudes_have_the_mel_they_came_from():
    mel = mel_of(tone(1))
    linear = vocoder.mel_to_linear(mel, CONFIG)
    assert linear.min() >= 0
    decibels = 20 * np.log10(linear @ audio.mel_filters(CONFIG).T / audio.mel_to_magnitude(mel, CONFIG))
    assert np.abs(decibels).mean() < 1


@pytest.fixture
def waveglow(tiny_bundle):  # noqa: F811
    return load_bundle(tiny_bundle).network("waveglow")


@pytest.mark.parametrize(
    "frames, size, before, after", [(64, 64, 3, 2), (65, 64, 3, 2), (700, 64, 20, 19), (300, 64, 0, 0)]
)
def test_chunks_tile_the_recording_with_their_context(frames, size, before, after):
    chunks = vocoder.plan_chunks(frames, size, before, after)
    kept = [frame for chunk in chunks for frame in range(chunk.first, chunk.end)]
    assert kept == list(range(frames))
    for chunk in chunks:
        assert 0 <= chunk.start and chunk.start + size <= frames
        assert chunk.first - chunk.start >= min(before, chunk.first)
        assert chunk.start + size - chunk.end >= min(after, frames - chunk.end)


def test_waveglow_in_chunks_equals_waveglow_in_one_piece(waveglow, monkeypatch):
    mel = np.random.default_rng(0).uniform(size=(150, 80)).astype(np.float32)
    monkeypatch.setattr(vocoder, "CHUNK_FRAMES", (150,))
    whole = vocoder.WaveGlowVocoder(waveglow, sigma=1.0)(mel, 150 * 256, 0)
    monkeypatch.setattr(vocoder, "CHUNK_FRAMES", (32,))
    chunked = vocoder.WaveGlowVocoder(waveglow, sigma=1.0)(mel, 150 * 256, 0)
    np.testing.assert_allclose(chunked, whole, atol=1e-4 * np.abs(whole).max())


def test_waveglow_context_covers_what_the_output_depends_on(waveglow):
    """The gradient of one frame's samples does not reach outside the context."""
    synthesiser = vocoder.WaveGlowVocoder(waveglow, sigma=1.0)
    before, after = synthesiser.context_frames()
    frame, frames = 12, 24
    shapes = vocoder.noise_shapes(waveglow.config, 1, frames)
    noise = tuple(np.random.default_rng(0).standard_normal(shape).astype(np.float32) for shape in shapes)

    def loudness(mel):
        out = waveglow.network.apply(waveglow.params, mel, noise, method="infer")
        return (out[0, frame * 256 : (frame + 1) * 256] ** 2).sum()

    mel = np.random.default_rng(1).uniform(size=(1, frames, 80)).astype(np.float32)
    reached = np.flatnonzero(np.abs(jax.jit(jax.grad(loudness))(mel))[0].sum(-1))
    assert frame - before <= reached.min() and reached.max() <= frame + after


@pytest.mark.parametrize("samples", [1600, 16000, 16255])
def test_waveglow_length_and_seed(waveglow, samples):
    mel = mel_of(tone(2)[:samples])
    synthesiser = vocoder.WaveGlowVocoder(waveglow)
    first, same, other = (synthesiser(mel, samples, seed) for seed in (0, 0, 1))
    assert first.shape == (samples,)
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-3


def test_the_reference_waveglow_sees_24480_samples_and_three_frames(waveglow):
    from evc_jax.models.waveglow import WaveGlowConfig

    synthesiser = vocoder.WaveGlowVocoder(dataclasses.replace(waveglow, config=WaveGlowConfig()))
    after = -(-24480 // 256)
    assert synthesiser.context_frames() == (after + 3, after)
    assert synthesiser.chunk_frames(10_000) > sum(synthesiser.context_frames())


def test_a_bundle_without_waveglow_says_so(tmp_path):
    bundle = load_bundle(write_bundle(tmp_path / "b", names=("voicegan",)))
    with pytest.raises(BundleError, match="has no waveglow network"):
        vocoder.make_vocoder("waveglow", bundle)
