"""VoiceGAN's training on partial utterances instead of one embedding per speaker."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from support.tiny_systems import make_system
from support.vowels import sung_vowel

from evc_jax.audio.io import from_pcm, to_pcm
from evc_jax.data.dataset import SpeakerTable
from evc_jax.data.pipeline import BalancedVoices
from evc_jax.errors import ConfigError
from evc_jax.features import speaker
from evc_jax.training.systems.voicegan_data import load_partials

COUNT, PER_SPEAKER = 4, 2


@pytest.fixture(scope="module")
def records():
    """Two speakers; the second has three utterances of three partials each."""
    lengths = {"short": [16000], "long": [48000] * 3}
    tone = np.tile(sung_vowel(140.0), 4)
    return [{"speaker": name, "audio": to_pcm(tone[:size])} for name, sizes in lengths.items() for size in sizes]


def test_each_speaker_has_the_same_number_of_partial_utterances_and_they_are_kept(records, tmp_path, monkeypatch):
    def load(**origin):
        cache = epath.Path(tmp_path) / "partials.npz"
        return load_partials(records, ("short", "long"), COUNT, PER_SPEAKER, cache, origin)

    found = load(data="a")
    assert found.shape == (2, COUNT, 256)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-5)
    own = speaker.encode(speaker.partial_mels(from_pcm(records[0]["audio"])))
    np.testing.assert_allclose(found[0], np.resize(own, (COUNT, 256)), atol=1e-5)
    monkeypatch.setattr(speaker, "encode", lambda *_: pytest.fail("embedded again"))
    np.testing.assert_array_equal(load(data="a"), found)
    with pytest.raises(pytest.fail.Exception, match="embedded again"):
        load(data="b")


def test_a_speaker_counts_as_often_as_the_root_of_the_number_of_utterances():
    names, zeros = ("a", "b", "c"), np.zeros(3)
    speakers = SpeakerTable(names, ("male", "female", "female"), np.array([1, 9, 1]), np.zeros((3, 256)), zeros, zeros)
    partials = np.arange(3)[:, None, None] * np.ones((3, COUNT, 256))
    for embeddings, expected in ((None, ["a", "b", "a", "c"]), (partials, ["a", "b", "a", "b", "a", "b", "a", "c"])):
        table = BalancedVoices(speakers, embeddings)
        assert [table.name(number) for number in range(len(table))] == expected
    batch = table[np.arange(8)]
    assert batch["embedding"].shape == (8, COUNT, 256) and batch["sex"].tolist() == [0, 1] * 4
    assert batch["embedding"][:, 0, 0].tolist() == [0, 1, 0, 1, 0, 1, 0, 2]


def test_a_sample_is_a_mean_of_partial_utterances_by_its_own_key():
    system = make_system("voicegan", options={"partial_utterances": COUNT})
    draw = np.random.default_rng(0)
    partials = np.abs(draw.normal(size=(3, COUNT, 256))).astype(np.float32)
    partials /= np.linalg.norm(partials, axis=-1, keepdims=True)
    keys = jax.random.split(jax.random.key(0), 3)
    whole = np.asarray(system.draw({"embedding": jnp.asarray(partials)}, keys)["embedding"])
    np.testing.assert_allclose(np.linalg.norm(whole, axis=-1), 1, atol=1e-5)
    cosines = np.einsum("be,bme->bm", whole, partials)
    assert (np.ptp(cosines, axis=1) > 0.01).all()  # the weights differ
    shares = np.linalg.lstsq(partials[0].T, whole[0], rcond=None)[0]
    assert (shares > 0).all() and np.abs(partials[0].T @ shares - whole[0]).max() < 1e-5
    alone = np.asarray(system.draw({"embedding": jnp.asarray(partials[1:2])}, keys[1:2])["embedding"])
    np.testing.assert_allclose(alone[0], whole[1], atol=1e-6)


def test_refusals():
    with pytest.raises(ConfigError, match="partial_utterances -1 and utterances_per_speaker 16; set them to at least"):
        make_system("voicegan", options={"partial_utterances": -1})
