"""Vocoders: lengths, reproducibility, priors, and WaveGlow in chunks against WaveGlow in one piece."""

import dataclasses

import jax
import numpy as np
import pytest
from support.tiny_bundles import CONFIGS, description, tone, write_bundle

from evc_jax.audio.config import AudioConfig
from evc_jax.audio.mel import log_mel
from evc_jax.config import to_mapping
from evc_jax.errors import BundleError
from evc_jax.evaluation.metrics import mel_l1
from evc_jax.models.network import Network
from evc_jax.models.waveglow.config import PRIORS, WaveGlowConfig
from evc_jax.models.waveglow.network import WaveGlow
from evc_jax.models.waveglow.synthesis import synthesize
from evc_jax.pretrained.bundle import TrainedNetwork, load_bundle, save_bundle
from evc_jax.vocoders import make_vocoder
from evc_jax.vocoders import waveglow as waveglow_vocoder

CONFIG = AudioConfig()


def mel_of(samples):
    return np.clip(log_mel(samples, CONFIG), 0, 1)


@pytest.fixture
def waveglow(tiny_bundle):
    return load_bundle(tiny_bundle).network("waveglow")


def with_prior(waveglow, prior):
    config = dataclasses.replace(waveglow.network.config, prior=prior)
    return TrainedNetwork(Network(WaveGlow, config), waveglow.params)


@pytest.mark.parametrize("prior", PRIORS)
def test_waveglow_in_chunks_equals_waveglow_in_one_piece(waveglow, prior, monkeypatch):
    mel, trained = mel_of(tone(2.5))[:150], with_prior(waveglow, prior)
    monkeypatch.setattr(waveglow_vocoder, "CHUNK_FRAMES", (150,))
    whole = waveglow_vocoder.WaveGlowVocoder(trained, CONFIG, sigma=1.0)(mel, 150 * 256, 0)
    monkeypatch.setattr(waveglow_vocoder, "CHUNK_FRAMES", (32,))
    chunked = waveglow_vocoder.WaveGlowVocoder(trained, CONFIG, sigma=1.0)(mel, 150 * 256, 0)
    np.testing.assert_allclose(chunked, whole, atol=1e-4 * np.abs(whole).max())


def untrained(prior):
    """A tiny WaveGlow that passes its noise on, mixed."""
    network = Network(WaveGlow, WaveGlowConfig(**CONFIGS["waveglow"], prior=prior))
    return TrainedNetwork(network, network.init(jax.random.key(0)))


def test_an_untrained_network_with_a_shaped_prior_makes_the_mel():
    sound = tone(1)
    copies = {p: waveglow_vocoder.WaveGlowVocoder(untrained(p), CONFIG)(mel_of(sound), 16000, 0) for p in PRIORS}
    errors = {prior: mel_l1(sound, copy, CONFIG) for prior, copy in copies.items()}
    assert errors["shaped"] < 0.03 and errors["white"] > 5 * errors["shaped"]


def test_a_bundle_keeps_the_prior(tmp_path):
    trained, names = untrained("shaped"), ("waveglow",)
    entry = {"config": to_mapping(trained.network.config), "steps": 0, "validation": {}}
    path = save_bundle(
        tmp_path / "b", {**description(names), "networks": {"waveglow": entry}}, {"waveglow": trained.params}
    )
    mel = mel_of(tone(0.5))
    loaded = make_vocoder("waveglow", load_bundle(path), denoise=0.1)
    expected = waveglow_vocoder.WaveGlowVocoder(trained, CONFIG)
    # An untrained network has no hum to take out.
    np.testing.assert_allclose(loaded(mel, 8000, 0), expected(mel, 8000, 0), atol=1e-4)


def test_groups_that_do_not_divide_the_hop(monkeypatch):
    frames = 149
    config = WaveGlowConfig(5, 2, 12, 2, 0, 2, 4, 3, 64, 32)
    network = Network(WaveGlow, config)
    params = jax.tree.map(
        lambda leaf: 0.1 + 0.1 * jax.random.normal(jax.random.key(leaf.size), leaf.shape),
        network.init(jax.random.key(0)),
    )
    trained = waveglow_vocoder.TrainedNetwork(network, params)
    mel = np.random.default_rng(0).uniform(size=(frames, 5)).astype(np.float32)
    monkeypatch.setattr(waveglow_vocoder, "CHUNK_FRAMES", (149,))
    whole = waveglow_vocoder.WaveGlowVocoder(trained, CONFIG)(mel, frames * 32, 0)
    monkeypatch.setattr(waveglow_vocoder, "CHUNK_FRAMES", (31,))
    chunked = waveglow_vocoder.WaveGlowVocoder(trained, CONFIG)(mel, frames * 32, 0)
    assert len(whole) == frames * 32 and np.abs(whole[-32:]).max() > 0
    np.testing.assert_allclose(chunked, whole, atol=1e-4 * np.abs(whole).max())


def test_each_frame_has_noise_of_its_own():
    whole = waveglow_vocoder.frame_noise(5, range(600), (32, 8))
    np.testing.assert_array_equal(waveglow_vocoder.frame_noise(5, range(200, 210), (32, 8)), whole[200 * 32 : 210 * 32])
    assert len(np.unique(whole)) > 0.99 * whole.size
    assert abs(whole.mean()) < 0.01 and abs(whole.std() - 1) < 0.01
    assert abs(np.corrcoef(whole[:-32].ravel(), whole[32:].ravel())[0, 1]) < 0.01
    assert not np.array_equal(waveglow_vocoder.frame_noise(6, range(1), (32, 8)), whole[:32])


def test_sigma_scales_the_noise_and_zero_needs_no_seed(waveglow):
    mel = mel_of(tone(0.5))
    quiet = waveglow_vocoder.WaveGlowVocoder(waveglow, CONFIG, sigma=0.0)
    np.testing.assert_array_equal(quiet(mel, 8000, 0), quiet(mel, 8000, 1))
    loud = [waveglow_vocoder.WaveGlowVocoder(waveglow, CONFIG, sigma)(mel, 8000, 0) for sigma in (0.1, 1)]
    differences = [np.std(sound - quiet(mel, 8000, 0)) for sound in loud]
    assert 0 < differences[0] < differences[1]


def test_waveglow_context_covers_what_the_output_depends_on(waveglow):
    """The gradient of one frame's samples does not reach outside the context."""
    synthesizer = waveglow_vocoder.WaveGlowVocoder(waveglow, CONFIG, sigma=1.0)
    before, after = synthesizer.context_frames()
    frame, frames = 12, 24
    shapes, weights = (
        waveglow_vocoder.noise_shapes(waveglow.network.config, 1, frames),
        waveglow_vocoder.synthesis_weights(waveglow),
    )
    noise = tuple(jax.random.normal(jax.random.key(0), shape) for shape in shapes)

    def loudness(mel):
        out = synthesize(weights, waveglow.network.config, mel, noise)
        return (out[0, frame * 256 : (frame + 1) * 256] ** 2).sum()

    mel = np.random.default_rng(1).uniform(size=(1, frames, 80)).astype(np.float32)
    reached = np.flatnonzero(np.abs(jax.jit(jax.grad(loudness))(mel))[0].sum(-1))
    assert frame - before <= reached.min() and reached.max() <= frame + after


@pytest.mark.parametrize("samples", [1600, 16000, 16255])
def test_waveglow_length_and_seed(waveglow, samples):
    mel = mel_of(tone(2)[:samples])
    synthesizer = waveglow_vocoder.WaveGlowVocoder(waveglow, CONFIG)
    first, same, other = (synthesizer(mel, samples, seed) for seed in (0, 0, 1))
    assert first.shape == (samples,)
    np.testing.assert_array_equal(first, same)
    assert np.abs(first - other).max() > 1e-3


def test_the_reference_waveglow_sees_24480_samples_and_three_frames(waveglow):
    synthesizer = waveglow_vocoder.WaveGlowVocoder(waveglow, CONFIG)
    synthesizer.config = WaveGlowConfig()
    after = -(-24480 // 256)
    assert synthesizer.context_frames() == (after + 3, after)
    assert synthesizer.chunk_frames(10_000) > sum(synthesizer.context_frames())


def test_a_bundle_without_waveglow_says_so(tmp_path):
    bundle = load_bundle(write_bundle(tmp_path / "b", names=("voicegan",)))
    with pytest.raises(BundleError, match="has no waveglow network"):
        make_vocoder("waveglow", bundle)


def test_what_layers_hear_is_not_all_computed_at_once():
    """Scheduled for concurrency, XLA's CPU backend would keep what 4 x 6 layers know of every frame."""
    config = WaveGlowConfig(flows=4, wn_layers=6, wn_channels=32)
    frames, network = 64, Network(WaveGlow, config)
    weights = jax.eval_shape(lambda params: network.apply(params, method="synthesis_weights"), network.shapes())
    noise = tuple(jax.ShapeDtypeStruct(shape, np.float32) for shape in waveglow_vocoder.noise_shapes(config, 1, frames))
    mel = jax.ShapeDtypeStruct((1, frames, config.mel_bands), np.float32)
    compiled = waveglow_vocoder.compiled_synthesis(config).lower(weights, mel, noise, 1.0).compile()
    conditioning_bytes = 4 * 6 * frames * 32 * 2 * config.wn_channels * 4
    assert compiled.memory_analysis().temp_size_in_bytes < conditioning_bytes / 2
