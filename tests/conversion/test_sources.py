"""Sources: the same samples as `audio.load` and `audio.as_mono`, block by block, and the same refusals."""

import numpy as np
import pytest
import soundfile
from support.tiny_bundles import tone

from evc_jax.audio import io as audio_io
from evc_jax.conversion.sources import BlockSource, FileSource, Source, mono, open_source
from evc_jax.errors import AudioError, ConfigError


def read(source):
    return np.concatenate(list(mono(source, 16000)))


@pytest.mark.parametrize(
    "suffix, rate_hz, channels", [("wav", 16000, 1), ("flac", 44100, 2), ("ogg", 22050, 1), ("mp3", 48000, 2)]
)
def test_a_file_in_blocks_is_the_file(tmp_path, suffix, rate_hz, channels):
    path = tmp_path / f"recording.{suffix}"
    soundfile.write(path, np.stack([tone(20, rate_hz)] * channels, axis=1), rate_hz)
    source = open_source(path)
    expected = audio_io.load(path, 16000)
    for _ in range(2):
        np.testing.assert_allclose(read(source), expected, atol=1e-6)
    assert len(list(source.read())) > 1
    assert source.duration_s() == pytest.approx(20, abs=0.2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_an_array_in_blocks_is_the_array(dtype, rate_hz):
    x = np.stack([tone(9, rate_hz), tone(9, rate_hz, seed=1)], axis=1)
    x = (x * 32767).astype(np.int16) if dtype == np.int16 else x.astype(dtype)
    source = BlockSource(x, rate_hz)
    np.testing.assert_allclose(read(source), audio_io.to_mono(x, rate_hz, 16000), atol=1e-6)
    assert source.duration_s() == pytest.approx(9)


def test_blocks_of_any_length():
    x = tone(1)
    source = BlockSource(np.split(x, [0, 10, 5000]), 16000)
    assert isinstance(source, Source) and open_source(source) is source and source.duration_s() is None
    np.testing.assert_array_equal(read(source), x)


def test_what_can_be_read_once_is_refused():
    with pytest.raises(ConfigError, match="The blocks can be read only once"):
        BlockSource((block for block in [tone(1)]), 16000)


def test_unusable_recordings_are_named(tmp_path):
    broken = tone(20)
    broken[300000] = np.nan
    soundfile.write(tmp_path / "nan.wav", broken, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "short.wav", tone(0.05), 16000)
    soundfile.write(tmp_path / "none.wav", tone(1)[:0], 16000)
    (tmp_path / "text.wav").write_text("This is no recording. " * 20)
    for name, reason in [
        ("absent.wav", "does not exist"),
        ("text.wav", "cannot be read as audio"),
        ("nan.wav", "NaN or infinite"),
        ("short.wav", "lasts 0.050 s"),
        ("none.wav", "lasts 0.000 s"),
    ]:
        with pytest.raises(AudioError, match=reason) as caught:
            read(FileSource(tmp_path / name))
        assert str(caught.value).count(name) == 1
    with pytest.raises(AudioError, match="sample rate is 0"):
        read(BlockSource(tone(1), 0))
    with pytest.raises(AudioError, match=r"shape \(2, 3, 4\)"):
        read(BlockSource(np.zeros((2, 3, 4)), 16000))
    with pytest.raises(AudioError, match="lasts 0.000 s"):
        read(BlockSource([], 16000))
