"""Files whose headers are wrong or open, that were cut short, that may not be read; pipes; odd names."""

import io
import os
import subprocess
import sys
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
import soundfile
from support.golden_features import voice

from evc_jax.audio import io as audio_io
from evc_jax.audio.decoding import read_blocks, stated_length
from evc_jax.errors import AudioError, AudioWarning

RATE_HZ = 16000
TONE = voice(200, 2.0)
FORMATS = {"WAV": "PCM_16", "FLAC": "PCM_16", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III", "AIFF": "PCM_16"}


def encoded(container, samples=TONE, subtype=None):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE_HZ, format=container, subtype=subtype or FORMATS[container])
    return buffer.getvalue()


def with_total(flac, total):
    data = bytearray(flac)
    data[21] = data[21] & 0xF0 | total >> 32
    data[22:26] = (total & 0xFFFFFFFF).to_bytes(4)
    return bytes(data)


def with_sizes(wav, riff, chunk):
    data = bytearray(wav)
    data[4:8], data[40:44] = riff.to_bytes(4, "little"), chunk.to_bytes(4, "little")
    return bytes(data)


def load(data):
    return audio_io.load(io.BytesIO(data), RATE_HZ)


@pytest.fixture(autouse=True)
def every_warning_is_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error", AudioWarning)
        yield


@pytest.mark.parametrize("container", FORMATS)
def test_whole_files_are_read_as_by_soundfile_without_a_warning(tmp_path, container):
    data = encoded(container)
    (tmp_path / "file").write_bytes(data)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    np.testing.assert_array_equal(audio_io.load(tmp_path / "file", RATE_HZ), expected)
    blocks = [block for block, _ in audio_io.read_blocks(tmp_path / "file", block_values=1000)]
    np.testing.assert_array_equal(np.concatenate(blocks)[:, 0], expected)


def test_flac_of_open_length():
    data = encoded("FLAC")
    np.testing.assert_array_equal(load(with_total(data, 0)), load(data))


@pytest.mark.parametrize("total", [1, len(TONE) // 2, len(TONE) - 1])
def test_flac_with_more_samples_than_it_states(total):
    data = encoded("FLAC")
    np.testing.assert_array_equal(load(with_total(data, total)), load(data))


@pytest.mark.parametrize("total", [len(TONE) + 1, 2**36 - 1])
def test_flac_with_fewer_samples_than_it_states_costs_no_memory(total):
    data = encoded("FLAC")
    tracemalloc.start()
    with pytest.warns(AudioWarning, match="the input ends early; 2.00 s could be read"):
        found = load(with_total(data, total))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, load(data))
    assert peak_bytes < 50e6


@pytest.mark.parametrize("container", FORMATS)
@pytest.mark.parametrize("share", [0.5, 0.97])
def test_files_cut_short(tmp_path, container, share):
    tone = voice(200, 8.0)  # of several pages of OGG
    data = encoded(container, tone)
    path = tmp_path / "cut"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.warns(AudioWarning, match="cut ends early") as warned:
        found = audio_io.load(path, RATE_HZ)
    assert len(warned) == 1 and "\n" not in str(warned[0].message)
    assert (share - 0.3) * len(tone) < len(found) < len(tone)
    same = len(found) - 2000  # the last packet of a codec may fade
    np.testing.assert_allclose(found[:same], load(data)[:same], atol=1e-6)


def test_open_flac_cut_short():
    data = with_total(encoded("FLAC"), 0)
    with pytest.warns(AudioWarning, match="ends early"):
        found = load(data[: len(data) // 2])
    assert len(found) > 0.3 * len(TONE)


@pytest.mark.parametrize("riff, chunk", [(None, 0), (0, 0), (0xFFFFFFFF, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0, 0xFFFFFFFF)])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_wav_that_was_not_closed(riff, chunk, subtype):
    data = encoded("WAV", subtype=subtype)
    with pytest.warns(AudioWarning, match="was not closed; 2.00 s were read"):
        found = load(with_sizes(data, len(data) - 8 if riff is None else riff, chunk))
    np.testing.assert_array_equal(found, load(data))


def test_wav_without_samples_but_with_another_chunk_is_empty():
    data = encoded("WAV", TONE[:0]) + b"LIST" + (400).to_bytes(4, "little") + bytes(400)
    with pytest.raises(AudioError, match="lasts 0.000 s"):
        load(data)


@pytest.mark.parametrize("container", FORMATS)
def test_only_a_header_is_no_recording(container):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AudioWarning)
        with pytest.raises(AudioError, match="cannot be read as audio|lasts 0.000 s"):
            load(encoded(container)[:44])


def test_names_that_are_not_unicode(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/Stra\xdfe.wav")
    with open(path, "wb") as file:
        file.write(encoded("WAV"))
    assert len(audio_io.load(path, RATE_HZ)) == len(TONE)


def test_pipes(tmp_path):
    data = encoded("FLAC")
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    np.testing.assert_array_equal(audio_io.load(tmp_path / "pipe", RATE_HZ), load(data))
    writer.join()
    program = "import sys; from evc_jax.audio import io; [print(len(io.load(s, 16000))) for s in (sys.stdin.buffer,)];"
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True)
    assert int(done.stdout) == len(TONE), done.stderr
    with pytest.raises(AudioError, match="the input is empty"):
        load(b"")
    with pytest.raises(AudioError, match="null is a device"):
        audio_io.load("/dev/null", RATE_HZ)


def test_no_permission(tmp_path, monkeypatch):
    path = tmp_path / "secret.wav"
    path.write_bytes(encoded("WAV"))

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    for name in ("open", "stat"):
        with monkeypatch.context() as patched:
            patched.setattr(f"pathlib.Path.{name}", refuse)
            with pytest.raises(AudioError, match="secret.wav cannot be opened: no permission"):
                audio_io.load(path, RATE_HZ)


@pytest.mark.parametrize("container", FORMATS)
def test_a_header_states_the_length_that_is_decoded(container, tmp_path):
    path = tmp_path / "recording"
    path.write_bytes(encoded(container))
    samples, rate_hz = stated_length(path)
    assert rate_hz == RATE_HZ and samples == sum(len(block) for block, _ in read_blocks(path))


def test_a_length_that_no_header_states_is_counted(tmp_path):
    (tmp_path / "open.flac").write_bytes(with_total(encoded("FLAC"), 0))
    (tmp_path / "crashed.wav").write_bytes(with_sizes(encoded("WAV"), 0, 0))
    assert stated_length(tmp_path / "open.flac") == (len(TONE), RATE_HZ)
    with pytest.warns(AudioWarning, match="was not closed"):
        assert stated_length(tmp_path / "crashed.wav") == (len(TONE), RATE_HZ)
    with pytest.raises(AudioError, match="does not exist"):
        stated_length(tmp_path / "gone.wav")
