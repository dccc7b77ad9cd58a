"""What FFmpeg reads where libsndfile cannot: lengths, delays, damage, and that nothing but the file is opened."""

import io
import struct
import subprocess
import sys
import tracemalloc
import warnings

import numpy as np
import pytest
from support.containers import as_container
from support.golden_features import voice
from support.uploads import as_bytes

from evc_jax.audio.decoding import read_blocks, stated_length
from evc_jax.audio.io import AudioReader, load
from evc_jax.errors import AudioError, AudioWarning

pytest.importorskip("av")

RATE_HZ = 48000
KINDS = {"m4a": ("ipod", "aac"), "webm": ("webm", "libopus"), "3gp": ("3gp", "aac"), "aac": ("adts", "aac")}


def speech(seconds=3.0, rate_hz=RATE_HZ):
    """A voice whose level changes, so that it is like itself at one shift only."""
    tone = voice(150, seconds, rate_hz)
    return tone * np.interp(
        np.arange(len(tone)) / rate_hz, np.arange(0, 9, 0.1), np.resize([0.2, 1, 0.5, 0.9, 0.1], 90)
    )


SPEECH = speech()


def made(kind, samples=SPEECH, **options):
    return as_container(samples, RATE_HZ, *KINDS[kind], **options)


def read(data, block_values=2**18):
    """Samples, rate and number of blocks."""
    blocks = list(read_blocks(io.BytesIO(data), block_values))
    assert len({rate_hz for _, rate_hz in blocks}) == 1
    return np.concatenate([block for block, _ in blocks]), blocks[0][1], len(blocks)


def delay_samples(found, original):
    size = 2 * max(len(found), len(original))
    correlation = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(original, size)))
    delay = int(np.argmax(correlation))
    return delay if delay < size // 2 else delay - size


@pytest.fixture(autouse=True)
def every_warning_is_an_error():
    with warnings.catch_warnings():
        warnings.simplefilter("error", AudioWarning)
        yield


@pytest.mark.parametrize(
    "container, codec, video",
    [
        *(("ipod", "aac", False), ("webm", "libopus", False), ("mp4", "aac", True), ("matroska", "libopus", True)),
        *(("3gp", "aac", False), ("ipod", "alac", False), ("wv", "wavpack", False), ("tta", "tta", False)),
    ],
)
def test_delay_and_padding_of_encoders_are_trimmed(container, codec, video):
    found, rate_hz, blocks = read(as_container(SPEECH, RATE_HZ, container, codec, video), 20000)
    assert rate_hz == RATE_HZ and found.shape == (3 * RATE_HZ, 1) and found.dtype == np.float32 and blocks > 2
    assert abs(delay_samples(found[:, 0], SPEECH)) <= RATE_HZ // 1000
    assert np.abs(found[:, 0] - SPEECH).mean() < 0.1 * np.abs(SPEECH).mean()


def test_lossless_samples_in_channels(tmp_path):
    samples = np.stack([SPEECH, 0.5 * SPEECH], axis=1).astype(np.float32)
    (tmp_path / "in.mka").write_bytes(as_container(samples, RATE_HZ, "matroska", "pcm_f32le"))
    np.testing.assert_array_equal(AudioReader(tmp_path / "in.mka").read()[0], samples)
    np.testing.assert_array_equal(read((tmp_path / "in.mka").read_bytes())[0], samples)
    assert stated_length(tmp_path / "in.mka") == (len(samples), RATE_HZ)


def test_an_aac_stream_without_a_container_keeps_its_delay():
    found = read(made("aac"))[0][:, 0]
    assert delay_samples(found, SPEECH) == 1024 and 0 <= len(found) - len(SPEECH) - 1024 < 1024


def test_long_recordings_are_decoded_twice(tmp_path):
    path = tmp_path / "in.m4a"
    path.write_bytes(made("m4a", np.stack([SPEECH, SPEECH], axis=1)))
    for source in (path, io.BytesIO(path.read_bytes())):
        mono = np.concatenate(list(AudioReader(source).read_mono(16000)))
        assert len(mono) == 48000
        np.testing.assert_allclose(mono, load(path, 16000), atol=1e-4)


def test_rate_and_channels_are_those_of_the_beginning():
    one = as_container(speech(1.0), 48000, "adts", "aac")
    other = as_container(np.stack([speech(1.0, 44100)] * 2, axis=1), 44100, "adts", "aac")
    for data, shape, rate_hz in ((one + other, 1, 48000), (other + one, 2, 44100)):
        found, found_hz, _ = read(data)
        assert found_hz == rate_hz and found.shape[1] == shape and len(found) / rate_hz == pytest.approx(2.05, abs=0.05)
        assert delay_samples(found[rate_hz : 2 * rate_hz, 0], speech(1.0, rate_hz)) < 0.08 * rate_hz


def test_memory_is_that_of_the_limit():
    data = made("webm", np.zeros(120 * RATE_HZ))
    tracemalloc.start()
    assert AudioReader(io.BytesIO(data)).read(limit_s=1) is None
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["aac", "webm", "fast.m4a"])
def test_files_cut_short(tmp_path, kind, share):
    fast = {"options": {"movflags": "faststart"}, "path": tmp_path / "fast.m4a"} if "fast" in kind else {}
    data = made(kind.split(".")[-1], **fast)
    with pytest.warns(AudioWarning, match=r"the input ends early; \d.\d\d s could be read"):
        found, *_ = read(data[: int(share * len(data))])
    assert (share - 0.15) * len(SPEECH) < len(found) < (share + 0.05) * len(SPEECH)


def test_a_browser_s_stream_without_a_length_may_end_anywhere():
    data = made("webm", options={"live": "1"})
    found, *_ = read(data[: len(data) // 2])
    assert 0.4 * len(SPEECH) < len(found) < 0.55 * len(SPEECH)


def test_what_is_damaged_is_passed_over():
    data = bytearray(made("m4a"))
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(range(200))
    with pytest.warns(AudioWarning, match="the input (is damaged|ends early); 2.* s could be read"):
        found, *_ = read(bytes(data))
    assert len(found) > 0.9 * len(SPEECH)


@pytest.mark.parametrize("kind", KINDS)
def test_random_damage_is_a_warning_or_one_sentence(kind):
    whole, random = made(kind), np.random.default_rng(1)
    for _ in range(6):
        data = bytearray(whole)
        for position in random.integers(0, len(data), 10):
            data[position] = random.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AudioWarning)
            try:
                assert len(read(bytes(data))[0]) < 1.1 * len(SPEECH)
            except AudioError as error:
                assert "cannot be read as audio" in str(error)


def claims_many_packets(m4a, count):
    """An MP4 whose index states so many packets of a byte each."""
    data = bytearray(m4a)
    for box, offset, numbers in ((b"stsz", 8, (1, count)), (b"stsc", 12, (1, count, 1)), (b"stts", 12, (count, 1024))):
        struct.pack_into(f">{len(numbers)}I", data, data.find(box) + offset, *numbers)
    return bytes(data)


REFUSED = {
    "index without samples": lambda: made("m4a")[: len(made("m4a")) // 2],
    "gigabytes of index": lambda: claims_many_packets(made("m4a"), 80_000_000),
    "noise": lambda: np.random.default_rng(0).bytes(200_000),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_one_sentence(name, capfd):
    with pytest.raises(AudioError, match="the input cannot be read as audio; give a WAV, .*M4A, WebM or other record"):
        read(REFUSED[name]())
    printed = capfd.readouterr()
    assert printed.out == "" and "av" not in printed.err.lower()


def test_a_video_without_sound_is_one_sentence():
    with pytest.raises(AudioError, match="the input has no audio track; give a recording"):
        read(as_container(SPEECH, RATE_HZ, "mp4", None, video=True))


@pytest.mark.parametrize(
    "playlist",
    [
        "ffconcat version 1.0\nfile {}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n",
        "v=0\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    ],
)
def test_a_playlist_opens_no_other_file(tmp_path, playlist):
    (tmp_path / "secret.wav").write_bytes(as_bytes(SPEECH))
    for target in ("secret.wav", tmp_path / "secret.wav", f"file://{tmp_path}/secret.wav"):
        (tmp_path / "list.m4a").write_text(playlist.format(target))
        with pytest.raises(AudioError, match="cannot be read as audio"):
            load(tmp_path / "list.m4a", 16000)


def test_pyav_is_not_imported_here():
    program = "import sys; from evc_jax.audio.io import load; load(sys.stdin.buffer, 16000); print('av' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], input=made("webm"), capture_output=True)
    assert done.stdout.split() == [b"False"] and done.stderr == b""
