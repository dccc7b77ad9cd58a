"""Codes are encoded once, and anew where the data, the encoder or the cache is another one."""

import numpy as np
import pytest
from etils import epath

from evc_jax.data.dataset import SplitSource
from evc_jax.training.checkpoints import fingerprint
from evc_jax.training.systems.codegan_data import CodeEncoder, encode_split

EMOTIONS = ("calm", "angry")


class Encoder(CodeEncoder):
    """Counts how often it is called."""

    def __init__(self):
        self.calls = 0

    def __call__(self, example):
        self.calls += 1
        return np.full((2, 24, 3), example["value"], np.float32)


class Records(SplitSource):
    """Given records in place of a split on disk."""

    def __init__(self, records):
        self.records = list(records)

    def __len__(self):
        return len(self.records)

    def __getitem__(self, index):
        return self.records[index]


@pytest.fixture
def encode(tmp_path):
    """Encodes three utterances, one of them with an emotion that is not wanted; returns the codes and the calls."""

    def run(origin, value=1.0):
        encoder = Encoder()
        records = Records({"emotion": emotion, "value": value} for emotion in ("calm", "sad", "angry"))
        cache = epath.Path(tmp_path / "codes" / "train.npz")
        return encode_split(encoder, records, EMOTIONS, cache, origin), encoder.calls

    return run


def test_codes_are_read_where_nothing_has_changed(encode, tmp_path):
    split, calls = encode({"data": "a"})
    again, none = encode({"data": "a"}, value=9.0)
    assert (calls, none) == (2, 0)
    np.testing.assert_array_equal(again.codes, split.codes)
    assert again.emotion.tolist() == [0, 0, 1, 1] and again.utterance.tolist() == [0, 0, 2, 2]
    assert [path.name for path in (tmp_path / "codes").iterdir()] == ["train.npz"]


def test_other_data_is_encoded_anew(encode):
    encode({"data": "a"})
    split, calls = encode({"data": "b"}, value=2.0)
    assert calls == 2 and (split.codes == 2.0).all()


@pytest.mark.parametrize("damage", ["half", "empty", "text", "bit", "other file"])
def test_a_damaged_cache_is_encoded_anew(damage, encode, tmp_path):
    encode({"data": "a"})
    cache = tmp_path / "codes" / "train.npz"
    content = bytearray(cache.read_bytes())
    if damage == "bit":
        content[400] ^= 4
    if damage == "other file":
        np.savez(cache, something=np.zeros(3))
    else:
        damaged = {"half": content[: len(content) // 2], "empty": b"", "text": b"no codes", "bit": content}
        cache.write_bytes(damaged[damage])
    assert encode({"data": "a"}, value=3.0)[1] == 2
    assert encode({"data": "a"})[1] == 0


def test_an_encoder_that_was_trained_on_has_another_fingerprint():
    params = {"layer": {"bias": np.zeros(3, np.float32), "kernel": np.ones((2, 3), np.float32)}}
    before = fingerprint(params)
    assert fingerprint({"layer": {name: leaf.copy() for name, leaf in params["layer"].items()}}) == before
    params["layer"]["bias"][1] = 1e-7
    assert fingerprint(params) != before
