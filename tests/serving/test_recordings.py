"""Uploads are read as the command line reads files, in bounded memory."""

import tracemalloc

import numpy as np
import pytest
from support.containers import as_container
from support.tiny_bundles import tone
from support.uploads import as_bytes, flac_bomb, hostile

from evc_jax.audio import io as audio_io
from evc_jax.errors import AudioError
from evc_jax.serving.recordings import TooLongError, decode, encode


@pytest.mark.parametrize(
    "container, rate_hz, channels, options",
    [
        ("WAV", 8000, 1, {}),
        ("WAV", 44100, 2, {"subtype": "PCM_24"}),
        ("WAV", 16000, 7, {"subtype": "FLOAT"}),
        ("FLAC", 48000, 2, {}),
        ("OGG", 22050, 1, {}),
        ("MP3", 44100, 1, {}),
    ],
)
def test_samples_are_those_of_the_file(tmp_path, container, rate_hz, channels, options):
    data = as_bytes(np.stack([tone(7.0, rate_hz, seed=i) for i in range(channels)], -1), rate_hz, container, **options)
    (tmp_path / "file").write_bytes(data)
    np.testing.assert_array_equal(decode(data, 16000, 10), audio_io.load(tmp_path / "file", 16000))


def test_recordings_of_a_browser(tmp_path):
    pytest.importorskip("av")
    data = as_container(tone(7.0, 48000), 48000, "webm", "libopus")
    (tmp_path / "file").write_bytes(data)
    np.testing.assert_array_equal(decode(data, 16000, 10), audio_io.load(tmp_path / "file", 16000))
    with pytest.raises(TooLongError, match="lasts longer than 5 s"):
        decode(data, 16000, 5)


@pytest.mark.parametrize("container", ["wav", "flac"])
@pytest.mark.parametrize("level", [0.1, 3.0])
def test_bytes_are_those_of_the_file(tmp_path, container, level):
    sound = tone(1.0, level=level)
    audio_io.save(tmp_path / f"out.{container}", sound, 16000)
    assert encode(sound, 16000, container) == (tmp_path / f"out.{container}").read_bytes()


@pytest.mark.parametrize("name", hostile())
def test_hostile_uploads_are_refused_or_sound(name):
    data, words = hostile()[name]
    if words in ("", "is silent"):  # a part may be left, and silence is found later
        try:
            assert len(decode(data, 16000, 10)) <= 16000
        except AudioError as error:
            assert "cannot be read" in str(error) or "lasts" in str(error)
    else:
        with pytest.raises(AudioError, match=words):
            decode(data, 16000, 10)


def test_a_bomb_stays_small():
    data = flac_bomb(2)
    assert len(data) < 5e5
    tracemalloc.start()
    with pytest.raises(TooLongError, match="lasts longer than 10 s"):
        decode(data, 16000, 10)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
