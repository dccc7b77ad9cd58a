"""Streaming: what comes out is what `Converter.convert` makes of the whole recording, in memory that does not grow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.tiny_bundles import tone, write_bundle

from evc_jax.audio import io as audio_io
from evc_jax.audio import pauses
from evc_jax.conversion.converter import Converter
from evc_jax.conversion.options import ConversionOptions
from evc_jax.conversion.sources import BlockSource
from evc_jax.conversion.streaming import convert_file, stream_convert
from evc_jax.errors import AudioError, BundleError


@pytest.fixture(scope="module")
def converter(tiny_bundle):
    return Converter.load(tiny_bundle)


def streamed(converter, source, options=None):
    return np.concatenate(list(stream_convert(converter, source, options)))


@pytest.mark.parametrize("seconds", [0.1, 3.1, 25.0])
@pytest.mark.parametrize("vocoder", ["griffin-lim", "waveglow"])
def test_the_sound_is_that_of_the_whole_recording(converter, seconds, vocoder):
    source = tone(seconds)
    options = ConversionOptions(emotion="happy", strength=1.5, voice="sampled:male", seed=3, vocoder=vocoder)
    expected = converter.convert_features(converter.extract(source, 16000), options).audio
    found = streamed(converter, BlockSource(source, 16000), options)
    assert found.shape == expected.shape and found.dtype == np.float32
    # Griffin-Lim's iterations magnify rounding
    tolerance = 1e-4 if vocoder == "waveglow" else 0.02
    assert np.abs(found - expected).max() < tolerance * np.abs(expected).max()


@pytest.mark.parametrize("rate", [0.7, 1.3])
def test_the_dials_do_what_they_do_to_the_whole(converter, rate):
    source = tone(6)
    options = ConversionOptions(
        voice="sampled:male",
        timbre=0.4,
        rate=rate,
        pitch_shift=3,
        pitch_range=1.5,
        flatten=0.2,
        vocoder="waveglow",
        denoise=0.3,
    )
    expected = converter.convert_features(converter.extract(source, 16000), options).audio
    found = streamed(converter, BlockSource(source, 16000), options)
    assert found.shape == expected.shape and abs(len(found) - 96000 / rate) <= 1
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_the_source_s_own_voice_is_kept(converter):
    source = tone(5)
    expected = converter.convert_features(converter.extract(source, 16000), ConversionOptions(vocoder="waveglow")).audio
    found = streamed(converter, BlockSource(source, 16000), ConversionOptions(vocoder="waveglow"))
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_silence_is_passed_through(converter):
    source = np.concatenate([np.zeros(12000), tone(2), np.zeros(20000), tone(2), np.zeros(9000)]).astype(np.float32)
    found = streamed(converter, BlockSource(source, 16000), ConversionOptions(vocoder="waveglow"))
    assert len(found) == len(source)
    fade = round(pauses.FADE_S * 16000)
    ringing = 3000  # of the high-pass, to both sides
    assert not found[: 12000 - fade - ringing].any()
    assert not found[12000 + 32000 + ringing + fade : 12000 + 32000 + 20000 - fade - ringing].any()
    assert not found[-9000 + ringing + fade :].any()
    assert np.abs(found[14000:40000]).max() > 0.01


def test_sound_comes_before_the_end(converter):
    """After the second hearing no more of the source is read than the first sound needs."""
    reads = []

    class Recording:
        def __iter__(self):
            reads.append(0)
            for _ in range(18):
                reads[-1] += 1
                yield tone(4)

    blocks = stream_convert(converter, BlockSource(Recording(), 16000), ConversionOptions(vocoder="waveglow"))
    assert reads == []
    first = next(blocks)
    assert reads[:2] == [18, 18] and reads[2] < 15 and len(first) < 16000 * 10
    assert len(first) + sum(len(block) for block in blocks) == 16000 * 72 and len(reads) == 3


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_file_becomes_a_file(converter, tmp_path, suffix, capsys):
    source, output = tmp_path / "in.ogg", tmp_path / "new" / f"out.{suffix}"
    soundfile.write(source, np.stack([tone(4, 44100)] * 2, axis=1), 44100)
    options = ConversionOptions(emotion="sad", vocoder="waveglow")
    duration_s = convert_file(converter, source, output, options)
    assert "converting" in capsys.readouterr().err
    expected = converter.convert_features(converter.extract(audio_io.load(source, 16000), 16000), options).audio
    samples, rate_hz = soundfile.read(output)
    assert rate_hz == 16000 and len(samples) / 16000 == duration_s == len(expected) / 16000
    np.testing.assert_allclose(samples, expected / max(1, np.abs(expected).max()), atol=2e-3)
    assert list(output.parent.iterdir()) == [output]


def test_peaks_are_scaled_down(converter, tmp_path):
    source = tone(3, level=5.0)
    options = ConversionOptions(vocoder="waveglow", sigma=2.0)
    loud = streamed(converter, BlockSource(source, 16000), options)
    assert np.abs(loud).max() > 1
    convert_file(converter, BlockSource(source, 16000), tmp_path / "out.wav", options, progress=False)
    samples, _ = soundfile.read(tmp_path / "out.wav")
    np.testing.assert_allclose(samples, loud / np.abs(loud).max(), atol=1e-4)


def test_nothing_half_written_is_left(converter, tmp_path):
    broken = tone(2)
    broken[20000] = np.nan
    soundfile.write(tmp_path / "broken.wav", broken, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "good.wav", tone(1), 16000)
    (tmp_path / "out").mkdir()
    for source, output, reason in [
        ("broken.wav", "out/a.wav", "broken.wav: the recording holds NaN"),
        ("absent.wav", "out/a.wav", "absent.wav does not exist"),
        ("good.wav", "out/a.mp3", "name it .wav or .flac"),
        ("good.wav", "good.wav/a.wav", "a.wav cannot be written"),
    ]:
        with pytest.raises(AudioError, match=reason):
            convert_file(converter, tmp_path / source, tmp_path / output, progress=False)
    assert list((tmp_path / "out").iterdir()) == []


def test_what_the_bundle_cannot_do_is_said_at_once(tmp_path):
    poor = Converter.load(write_bundle(tmp_path / "b", names=("speechsplit",)))
    with pytest.raises(BundleError, match="has no waveglow network"):
        stream_convert(poor, tmp_path / "absent.wav", ConversionOptions(vocoder="waveglow"))


_MEASURE = """
import functools, json, sys
import numpy as np
from evc_jax import audio, vocoder
from evc_jax.conversion import Converter
from evc_jax.griffin_lim import GriffinLim
from evc_jax.sources import BlockSource
from evc_jax.streaming import convert_file
from evc_jax.options import ConversionOptions

vocoder.GriffinLim = functools.partial(GriffinLim, iterations=2)  # more take longer, not more memory

class Repeated:
    def __init__(self, samples, times):
        self.samples, self.times = samples, times

    def __iter__(self):
        return (self.samples for _ in range(self.times))

def peak_mb():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024

bundle, recording, output = sys.argv[1:]
converter = Converter.load(bundle)
minute = np.resize(np.append(audio.load(recording, 16000), np.zeros(16000, np.float32)), 960000)
found = []
for minutes in (2, 10):
    source = BlockSource(Repeated(minute, minutes), 16000)
    duration_s = convert_file(converter, source, output, ConversionOptions(emotion="sad"), progress=False)
    found.append({"duration_s": duration_s, "peak_mb": peak_mb()})
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from Linux's /proc")
def test_ten_minutes_need_no_more_memory_than_two(tiny_bundle, data_dir, tmp_path):
    """In one piece ten minutes would take a gigabyte more than two do; in blocks, what allocators keep varies."""
    recording = sorted((data_dir / "librispeech").rglob("*.flac"))[0]
    arguments = [str(tiny_bundle), str(recording), str(tmp_path / "out.wav")]
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    program = [sys.executable, "-c", _MEASURE, *arguments]
    finished = subprocess.run(program, capture_output=True, text=True, check=True, env=environment)
    short, long = json.loads(finished.stdout)
    assert (short["duration_s"], long["duration_s"]) == (120, 600)
    assert long["peak_mb"] - short["peak_mb"] < 250
    assert soundfile.info(tmp_path / "out.wav").frames == 600 * 16000
