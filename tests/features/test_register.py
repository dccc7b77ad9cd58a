"""The register of a voice: learnt from speakers, kept in a bundle's description."""

import json

import numpy as np
import pytest

from evc_jax.features.f0_codes import LogF0Statistics
from evc_jax.features.register import MeasuredVoice, Register, fit_register, mean_error_semitones


def speakers(count=300, seed=0):
    """Embeddings in whose direction the register lies, and noise."""
    random = np.random.default_rng(seed)
    embeddings = np.abs(random.normal(size=(count, 256))).astype(np.float32)
    high = random.integers(0, 2, count)
    embeddings[:, :40] *= (1 + high)[:, None]
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    mean = np.log(np.where(high, 210.0, 115.0)) + 0.05 * random.normal(size=count)
    return embeddings, mean, np.full(count, 0.25)


def test_the_register_of_unseen_voices_is_told():
    register, (embeddings, mean, _) = fit_register(*speakers()), speakers(50, seed=1)
    assert mean_error_semitones(register, embeddings, mean) < 3 < 12 / np.log(2) * mean.std()
    assert register.predict(embeddings[0]).std == pytest.approx(0.25, rel=1e-3)


def test_a_register_survives_its_bundle():
    register, embedding = fit_register(*speakers()), speakers(1, seed=2)[0][0]
    kept = Register.from_mapping(json.loads(json.dumps(register.to_mapping())))
    assert kept.predict(embedding).mean == pytest.approx(register.predict(embedding).mean, abs=1e-4)


@pytest.mark.parametrize("stored", [[], {}, {"log_f0_mean": [1.0], "log_f0_log_std": [1.0]}, {"log_f0_mean": "x"}])
def test_what_is_no_register(stored):
    with pytest.raises((TypeError, ValueError, KeyError)):
        Register.from_mapping(stored)


def test_near_a_known_voice_its_own_register_counts():
    plain, (known, other) = fit_register(*speakers()), speakers(2, seed=3)[0]
    other = np.clip(other - 0.9 * (other @ known) * known, 0, None)  # as little alike as two speakers are
    other /= np.linalg.norm(other)
    measured = LogF0Statistics(5.5, 0.11)
    register = Register(plain.weights, (MeasuredVoice(other), MeasuredVoice(known, measured)))
    at_voice = register.predict(known)
    assert (at_voice.mean, at_voice.std) == pytest.approx((5.5, 0.11), rel=1e-5)
    assert register.predict(other) == plain.predict(other)
    between = (0.95 * known + 0.05 * other).astype(np.float32)
    between /= np.linalg.norm(between)
    assert 0.11 < register.predict(between).std < plain.predict(between).std


def test_a_known_voice_survives_its_bundle():
    embedding = speakers(1)[0][0]
    spectrum_db = np.linspace(30, 60, 80).astype(np.float32)
    for voice in (MeasuredVoice(embedding), MeasuredVoice(embedding, LogF0Statistics(5.1, 0.2), spectrum_db)):
        kept = MeasuredVoice.from_mapping(json.loads(json.dumps(voice.to_mapping())), 80)
        np.testing.assert_allclose(kept.embedding, embedding, atol=1e-6)
        assert kept.log_f0 == voice.log_f0 and (kept.spectrum_db is None) == (voice.spectrum_db is None)
    np.testing.assert_allclose(kept.spectrum_db, spectrum_db, atol=0.01)
