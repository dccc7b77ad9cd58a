"""How datasets store mel and audio: what is exact, how far the rest is, and that readers see no difference."""

import json
import sys

import numpy as np
import pytest
from support.tiny_corpora import buzz, embed, write_ravdess

from evc_jax.audio.io import to_pcm
from evc_jax.data.dataset import dataset_info, open_split
from evc_jax.data.encoding import Storage, decode_audio, decode_mel, encode_audio, encode_mel
from evc_jax.data.prepare.builder import prepare
from evc_jax.errors import DataError

COMPACT, PLAIN = Storage(), Storage("float32", "pcm")


def test_float16_moves_a_value_by_at_most_two_to_the_minus_twelve():
    mel = np.linspace(0, 1, 80 * 50_001, dtype=np.float32).reshape(-1, 80)
    decoded = decode_mel(encode_mel(mel, COMPACT))
    assert decoded.dtype == np.float32 and decoded.shape == mel.shape and decoded.flags.c_contiguous
    error = np.abs(decoded.astype(np.float64) - mel)
    assert 0.99 * 2**-12 < error.max() <= 2**-12
    np.testing.assert_array_equal(decoded[[0, -1], [0, -1]], [0, 1])
    np.testing.assert_array_equal(decode_mel(encode_mel(mel, PLAIN)), mel)


@pytest.mark.parametrize("storage", [COMPACT, PLAIN])
@pytest.mark.parametrize("name", ["speech", "noise", "silence", "extremes", "one sample"])
def test_audio_is_exact(name, storage):
    generator = np.random.default_rng(0)
    audio = {
        "speech": to_pcm(buzz(150.0, 1.3)),
        "noise": generator.integers(-32768, 32768, 20_011).astype(np.int16),
        "silence": np.zeros(16_000, np.int16),
        "extremes": np.resize(np.array([-32768, 32767], np.int16), 9_999),
        "one sample": np.array([-5], np.int16),
    }[name]
    stored = encode_audio(audio, 16_000, storage)
    assert name != "speech" or stored.nbytes < 0.6 * audio.nbytes or storage is PLAIN
    decoded = decode_audio(stored)
    assert decoded.dtype == np.int16
    np.testing.assert_array_equal(decoded, audio)


def test_unknown_storage_is_one_sentence():
    with pytest.raises(DataError, match=r"^The mel storage is 'float8'; choose float16 or float32\.$"):
        Storage(mel="float8")
    with pytest.raises(DataError, match=r"^The audio storage is 'mp3'; choose flac or pcm\.$"):
        prepare("ravdess", "corpus", "out", audio_storage="mp3")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """The same recordings in both forms, as `compact`, and as `plain`, which has the metadata of version 0.1."""
    root = tmp_path_factory.mktemp("datasets")
    write_ravdess(root / "corpus", actors=1)
    out, digests = root / "out", []
    for name, options in {"compact": {}, "plain": {"mel_storage": "float32", "audio_storage": "pcm"}}.items():
        prepare("ravdess", root / "corpus", out, embedder=embed, workers=1, progress=False, **options)
        (out / "speech/ravdess").rename(out / "speech" / name)
        digests.append(dataset_info(out, name)["digest"])
    assert digests[0] == digests[1]
    assert dataset_info(out, "compact")["storage"] == {"mel": "float16", "audio": "flac"}
    assert dataset_info(out, "plain")["storage"] == {"mel": "float32", "audio": "pcm"}
    metadata = out / "speech/plain/1.0.0/metadata.json"
    old = {key: value for key, value in json.loads(metadata.read_text()).items() if key not in ("storage", "digest")}
    metadata.write_text(json.dumps(old))
    return out


def test_readers_of_both_forms_see_no_difference_but_rounding(datasets):
    mixed = open_split(datasets, "plain,compact", "train")
    half = len(mixed) // 2
    assert half
    for exact, stored in ((mixed[i], mixed[half + i]) for i in range(half)):
        kinds = [{name: getattr(v, "dtype", type(v)) for name, v in record.items()} for record in (exact, stored)]
        assert kinds[0] == kinds[1]
        rounded = exact | {"mel": exact["mel"].astype(np.float16).astype(np.float32)}
        for name, value in rounded.items():
            np.testing.assert_array_equal(stored[name], value)


def test_mel_alone_is_read_without_the_library_for_audio(datasets, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert open_split(datasets, "compact", "train", fields=("mel",), cache_bytes=0)[0]["mel"].dtype == np.float32
    with pytest.raises(ImportError):
        open_split(datasets, "compact", "train", fields=("audio",), cache_bytes=0)[0]
