"""The denoiser: less hum, no more energy than without hum, and nothing else changed."""

import dataclasses

import jax
import numpy as np
import pytest
from support.tiny_bundles import tone

from evc_jax.pretrained.bundle import load_bundle
from evc_jax.vocoders import denoiser, make_vocoder
from evc_jax.vocoders import waveglow as waveglow_vocoder
from evc_jax.vocoders.denoiser import Denoiser

RATE_HZ, GROUP = 16000, 8
HUM = np.tile(np.float32([3, -1, 2, 0, -2, 1, 1, -4]) / 100, 4000)
TONES_HZ = (2000, 4000, 6000)


def energies(sound):
    """At the multiples of rate / group."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, 4096)[::1024] * np.hanning(4096)
    spectrum = (np.abs(np.fft.rfft(frames, axis=1)) ** 2).mean(axis=0)
    bins = [round(hz * 4096 / RATE_HZ) for hz in TONES_HZ]
    return np.array([spectrum[bin_ - 2 : bin_ + 3].sum() for bin_ in bins])


def test_no_more_energy_at_the_grouping_tones_than_the_source_has():
    source = tone(2)
    heard = source + HUM
    assert (energies(heard) > 5 * energies(source)).all()
    bias = denoiser.bias_spectrum(HUM)
    assert (energies(Denoiser(bias, 1.0)(heard)) <= 1.01 * energies(source)).all()
    tenth = energies(Denoiser(bias, 0.1)(heard))
    assert (tenth < 0.9 * energies(heard)).all() and (tenth > energies(source)).all()


def test_speech_beside_the_tones_is_kept():
    source = tone(2)
    cleaned = Denoiser(denoiser.bias_spectrum(HUM), 1.0)(source + HUM)
    assert np.std(cleaned - source) < 0.15 * np.std(HUM)
    assert np.std(cleaned - source) < 0.05 * np.std(source)


@pytest.mark.parametrize("samples", [100, 1023, 1024, 5000, 5120])
def test_no_bias_changes_nothing(samples):
    source = tone(0.5)[:samples]
    np.testing.assert_allclose(Denoiser(np.zeros(513, np.float32), 1.0)(source), source, atol=1e-6)


@pytest.fixture(scope="module")
def hummer(tiny_bundle):
    """Makes bundles whose WaveGlow knows no mel: what it says is its noise, mixed, and a hum of the given size."""
    trained = load_bundle(tiny_bundle).network("waveglow")

    def make(hum):
        params = jax.tree.map(np.array, trained.params)
        for coupling in params["couplings"].values():
            coupling["end"]["kernel"][:] = 0
            half = len(coupling["end"]["bias"]) // 2
            coupling["end"]["bias"][:] = np.append(hum * np.arange(1, half + 1), np.zeros(half))
        bundle = load_bundle(tiny_bundle)
        bundle.networks["waveglow"] = dataclasses.replace(trained, params=params)
        return bundle

    return make


def test_a_humming_waveglow_is_brought_to_silence(hummer):
    bundle, mel = hummer(0.05), np.full((200, 80), 0.3, np.float32)
    clean = make_vocoder("waveglow", hummer(0.0), 0.02)(mel, 51200, 0)
    vocoders = [make_vocoder("waveglow", bundle, 0.02, denoise) for denoise in (0, 0.1, 1)]
    heard, weak, full = (synthesize(mel, 51200, 0) for synthesize in vocoders)
    assert (energies(heard) > 10 * energies(clean)).all()
    assert (energies(weak) < 0.9 * energies(heard)).all()
    assert (energies(full) <= energies(clean)).all()
    assert len(full) == 51200


def test_strength_zero_is_bit_identical_and_costs_nothing(hummer):
    bundle, mel = hummer(0.05), np.full((70, 80), 0.3, np.float32)
    plain, neutral = make_vocoder("waveglow", bundle), make_vocoder("waveglow", bundle, denoise=0.0)
    assert neutral.denoiser is None and bundle not in waveglow_vocoder._BIASES
    np.testing.assert_array_equal(neutral(mel, 17920, 3), plain(mel, 17920, 3))


def test_the_bias_is_computed_once_per_bundle(hummer, monkeypatch):
    bundle = hummer(0.05)
    first = waveglow_vocoder.waveglow_bias(bundle)
    monkeypatch.setattr(waveglow_vocoder, "bias_spectrum", None)
    assert waveglow_vocoder.waveglow_bias(bundle) is first
    tones = first[[round(hz * 1024 / RATE_HZ) for hz in TONES_HZ]]
    assert tones.min() > 100 * np.median(first)


def test_chunks_of_a_denoised_waveglow_change_nothing(hummer, monkeypatch):
    mel = np.random.default_rng(0).uniform(size=(150, 80)).astype(np.float32)
    whole = make_vocoder("waveglow", hummer(0.05), 0.1, 0.5)(mel, 150 * 256, 0)
    monkeypatch.setattr(waveglow_vocoder, "CHUNK_FRAMES", (32,))
    chunked = make_vocoder("waveglow", hummer(0.05), 0.1, 0.5)(mel, 150 * 256, 0)
    np.testing.assert_allclose(chunked, whole, atol=1e-4 * np.abs(whole).max())
