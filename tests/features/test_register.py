"""The register of a voice: learnt from speakers, kept in a bundle's description."""

import json

import numpy as np
import pytest

from evc_jax.features.register import Register, fit_register, mean_error_semitones


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
