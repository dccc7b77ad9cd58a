"""Plain words for a cosine, and that they hold on real recordings."""

import numpy as np
import pytest

from evc_jax.audio import io as audio_io
from evc_jax.evaluation.speakers import compare
from evc_jax.features import extract as extraction


def voices(cosine):
    a = np.zeros(256, np.float32)
    b = a.copy()
    a[0] = 1
    b[:2] = cosine, np.sqrt(1 - cosine**2)
    return a, b


@pytest.mark.parametrize(
    "cosine, words",
    [
        (1.0, "very likely the same speaker"),
        (0.75, "probably the same speaker"),
        (0.65, "undecided"),
        (0.55, "probably different"),
        (0.1, "very likely different"),
    ],
)
def test_words(cosine, words):
    result = compare(*voices(cosine))
    assert result.cosine == pytest.approx(cosine, abs=1e-6)
    assert words in result.verdict and f"{cosine:.3f}: {result.verdict}." in str(result)


def test_shares_fall_with_the_cosine():
    results = [compare(*voices(cosine)) for cosine in np.linspace(0.2, 1, 30)]
    for field in ("read_same", "read_different", "acted_same", "acted_different"):
        shares = [getattr(result, field) for result in results]
        assert shares == sorted(shares, reverse=True) and shares[0] > 0.99 and shares[-1] == 0
    assert all(result.read_same >= result.read_different for result in results)
    assert "less than 1 %" in str(compare(*voices(0.78)))


def test_the_words_hold_for_real_recordings(data_dir):
    """Two recordings each of three speakers of LibriSpeech's test split."""
    files = sorted((data_dir / "librispeech" / "test-other").rglob("*.flac"))
    speakers = {}
    for file in files:
        speakers.setdefault(file.name.split("-")[0], []).append(file)
    chosen = [members[:2] for members in list(speakers.values())[:3]]
    embeddings = [[extraction.extract(audio_io.load(file, 16000), 16000).embedding for file in pair] for pair in chosen]
    for i, (one, other) in enumerate(embeddings):
        assert compare(one, other).verdict.endswith("likely the same speaker")
        stranger = embeddings[i - 1][1]
        assert compare(one, stranger).cosine < compare(one, other).cosine
        assert compare(one, stranger).verdict.startswith(("undecided", "probably different", "very likely different"))
