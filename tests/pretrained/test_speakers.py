"""A bundle's training speakers come back, are kept by what copies a bundle, and none of them validated or tested."""

import numpy as np
import pytest
from support.tiny_bundles import tiny_speakers, write_bundle

from evc_jax.errors import BundleError
from evc_jax.pretrained.bundle import embedded_path, load_bundle
from evc_jax.pretrained.speakers import SPEAKERS_FILE


def _length(values):
    return np.linalg.norm(values, axis=1, keepdims=True)


def test_they_come_back(tmp_path):
    given = tiny_speakers()
    path = write_bundle(tmp_path / "b", names=("voicegan",), speakers=given)
    read = load_bundle(path).speakers
    assert read.names == given.names and read.sexes == given.sexes
    np.testing.assert_allclose(read.embeddings, given.embeddings, atol=2e-4)
    np.testing.assert_allclose(_length(read.embeddings), 1, rtol=1e-6)


def test_older_bundles_have_none(tmp_path):
    assert load_bundle(write_bundle(tmp_path / "b", names=("voicegan",))).speakers is None


@pytest.mark.parametrize(
    "damage", ["cut short", "a byte", "no archive", "an array", "zeros", "float32", "pickles", "too few"]
)
def test_a_damaged_file_is_one_sentence(tmp_path, damage):
    path = write_bundle(tmp_path / "b", names=("voicegan",))
    file, good = path / SPEAKERS_FILE, tiny_speakers()
    half = good.embeddings.astype(np.float16)
    columns = {"name": np.array(good.names), "sex": np.array(good.sexes), "embedding": half}
    changed = {
        "zeros": {"embedding": np.zeros_like(half)},
        "float32": {"embedding": good.embeddings},
        "pickles": {"name": np.array(good.names, object)},
        "too few": {"sex": columns["sex"][1:]},
    }
    with file.open("wb") as stream:
        np.savez_compressed(stream, **(columns | changed.get(damage, {})))
    if damage == "cut short":
        file.write_bytes(file.read_bytes()[:-300])
    if damage == "a byte":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    if damage == "no archive":
        file.write_bytes(b"speakers")
    if damage == "an array":
        with file.open("wb") as stream:
            np.save(stream, half)
    with pytest.raises(BundleError, match=r"is damaged: speakers.npz cannot be read \(.+\); copy or make it again\.$"):
        _ = load_bundle(path).speakers


@pytest.mark.skipif(not embedded_path().is_dir(), reason="the package has no bundle")
def test_the_embedded_bundle_has_those_that_trained_and_no_others():
    speakers = load_bundle().speakers
    assert len(set(speakers.names)) == len(speakers.names) == 249
    assert {name.rpartition("-")[0] for name in speakers.names} == {"ravdess", "emodb", "librispeech", "ljspeech"}
    others = ("ravdess-08", "ravdess-11", "ravdess-14", "ravdess-21", "ravdess-23", "ravdess-24", "librispeech-1688")
    assert not set(speakers.names) & {*others, "emodb-09", "emodb-10", "emodb-11", "emodb-14", "emodb-15", "emodb-16"}
    assert (embedded_path() / SPEAKERS_FILE).stat().st_size < 200_000
    nearest_other = np.sort(speakers.embeddings @ speakers.embeddings.T, axis=1)[:, -2]
    assert nearest_other.max() < 0.99  # each is a voice of its own
